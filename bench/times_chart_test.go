package bench

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/go-analyze/charts"
)

// grays are the colors of the tools that are not Whimbrel, in their order.
var grays = []uint8{95, 125, 150, 172, 192, 210, 225}

// drawTimes draws the times of all tools as an SVG file with one panel for each kind of database.
// The axis is logarithmic: the times differ by four orders of magnitude.
func drawTimes(t *testing.T, file string, r *report) {
	t.Helper()
	const width, panel = 1100, 300
	var panels [][]entry
	for _, k := range kinds {
		if mine := r.of(k); len(mine) > 0 {
			panels = append(panels, mine)
		}
	}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: panel * len(panels)})
	for i, entries := range panels {
		child := p.Child(charts.PainterBoxOption(charts.NewBox(0, panel*i, width, panel*(i+1))))
		if err := child.BarChart(timesChart(entries)); err != nil {
			t.Fatal(err)
		}
	}
	svg, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, svg, 0o644); err != nil {
		t.Fatal(err)
	}
}

// timesChart returns the panel of one kind of database.
func timesChart(entries []entry) charts.BarChartOption {
	var names []string
	var values [][]float64
	var colors []charts.Color
	longest := 0.0
	for _, name := range toolsOf(entries) {
		var logs []float64
		for _, e := range entries {
			v := charts.GetNullValue()
			if res := e.of(name); res != nil {
				v = math.Log10(milliseconds(res.wall()))
				longest = max(longest, v)
			}
			logs = append(logs, v)
		}
		color := charts.ColorRGB(46, 125, 80)
		if name != ours {
			gray := grays[min(len(names), len(grays)-1)]
			color = charts.ColorRGB(gray, gray, gray)
		}
		names, values, colors = append(names, plainName(name)), append(values, logs), append(colors, color)
	}
	opt := charts.NewBarChartOptionWithData(values)
	opt.Theme = opt.Theme.WithSeriesColors(colors)
	opt.Title.Text = entries[0].version + ": milliseconds, logarithmic"
	opt.Title.FontStyle = charts.NewFontStyleWithSize(12)
	opt.Legend.SeriesNames = names
	opt.Legend.Offset = charts.OffsetStr{Left: charts.PositionRight, Top: "24"} // below the title
	for _, e := range entries {
		opt.CategoryAxis.Labels = append(opt.CategoryAxis.Labels, e.task.short)
	}
	opt.CategoryAxis.LabelCount = len(entries) // all of them
	opt.CategoryAxis.LabelFontStyle = charts.NewFontStyleWithSize(8)
	opt.ValueAxis[0].Min = charts.Ptr(0.0)
	opt.ValueAxis[0].Max = charts.Ptr(math.Ceil(longest))
	opt.ValueAxis[0].Unit = 1
	opt.ValueAxis[0].ValueFormatter = func(v float64) string { return fmt.Sprintf("%.0f", math.Pow(10, v)) }
	return opt
}
