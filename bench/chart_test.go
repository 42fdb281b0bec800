package bench

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-analyze/charts"
)

// step is the width of one point of the chart.
const step = 50 * time.Millisecond

// drawLatencies draws how late the latest query of each step was answered, as an SVG file with one
// panel for each result, from the start of the application to its end.
func drawLatencies(t *testing.T, file string, results []latencies, end time.Duration) {
	t.Helper()
	const width, panel = 900, 190
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: panel * len(results)})
	longest := 1.0
	for _, r := range results {
		longest = max(longest, slices.Max(longestOfSteps(r, end)))
	}
	for i, r := range results {
		opt := charts.NewLineChartOptionWithData([][]float64{longestOfSteps(r, end)})
		opt.Theme = opt.Theme.WithSeriesColors([]charts.Color{colorOf(r)})
		opt.Title.Text = fmt.Sprintf("%s: at most %s late", r.name, secondsText(slices.Max(longestOfSteps(r, end))))
		opt.Title.FontStyle = charts.NewFontStyleWithSize(12)
		opt.Legend.Show = charts.Ptr(false)
		opt.Symbol.Shape = charts.SymbolNone
		opt.LineStrokeWidth = 1.5
		opt.FillArea = charts.Ptr(true)
		opt.XAxis.Labels = labels(end)
		opt.XAxis.BoundaryGap = charts.Ptr(false)
		opt.XAxis.LabelCount = int(end/(2*time.Second)) + 1
		opt.YAxis[0].Min = charts.Ptr(0.0)
		opt.YAxis[0].Max = charts.Ptr(2 * math.Ceil(longest/2))
		opt.YAxis[0].Unit = 2
		opt.YAxis[0].ValueFormatter = func(s float64) string { return fmt.Sprintf("%.0f s", s) }
		child := p.Child(charts.PainterBoxOption(charts.NewBox(0, panel*i, width, panel*(i+1))))
		if err := child.LineChart(opt); err != nil {
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

// colorOf returns green for Whimbrel, and red for the others.
func colorOf(r latencies) charts.Color {
	if strings.HasPrefix(r.name, "whimbrel") {
		return charts.ColorRGB(46, 125, 80)
	}
	return charts.ColorRGB(190, 70, 60)
}

// longestOfSteps returns, in seconds, how late the latest of the queries that were due in each
// step was answered.
func longestOfSteps(r latencies, end time.Duration) []float64 {
	longest := make([]float64, end/step+1)
	for _, q := range r.queries {
		i := min(int(q.due/step), len(longest)-1)
		longest[i] = max(longest[i], q.late.Seconds())
	}
	return longest
}

func labels(end time.Duration) []string {
	all := make([]string, end/step+1)
	for i := range all {
		all[i] = fmt.Sprintf("%.0f s", (time.Duration(i) * step).Seconds())
	}
	return all
}

// secondsText returns a time with as many digits as matter.
func secondsText(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", 1000*s)
	}
	return fmt.Sprintf("%.1f s", s)
}
