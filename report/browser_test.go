package report_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/report"
)

// browser is a headless Chromium that shows one page at a time and records what the page does.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
	messages []string // of the console, exceptions and dialogs
}

// newBrowser starts Chromium. It ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	home := profile(t)
	opts := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(testdb.Tool(t, "chromium")), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home), chromedp.WSURLReadTimeout(5 * time.Minute),
	})
	ctx, end := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(end)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process, so that its folder can be removed
		cancel()
	})
	b := &browser{ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	b.run(t, network.Enable(), log.Enable(), runtime.Enable())
	return b
}

// profile returns a folder for Chromium. Its processes can still write there for a moment after the
// browser has ended, so the folder is removed patiently.
func profile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "whimbrel-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 600 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Error(err)
	})
	return dir
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		b.messages = append(b.messages, "console: "+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.messages = append(b.messages, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.messages = append(b.messages, string(e.Entry.Level)+": "+e.Entry.Text)
	case *cdpage.EventJavascriptDialogOpening:
		b.messages = append(b.messages, "dialog: "+e.Message)
		go func() { _ = chromedp.Run(b.ctx, cdpage.HandleJavaScriptDialog(true)) }()
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// open shows a page from a file, and checks that it loads nothing else and reports no error.
func (b *browser) open(t *testing.T, p report.Page) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, write(t, p), 0o644); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.requests, b.messages = nil, nil
	b.mu.Unlock()
	b.run(t, chromedp.Navigate("file://"+file))
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff([]string{"file://" + file}, b.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if len(b.messages) > 0 {
		t.Errorf("the page reports %q", b.messages)
	}
}

func write(t *testing.T, p report.Page) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// eval returns the value of an expression of JavaScript in the page.
func eval[T any](t *testing.T, b *browser, expression string) (value T) {
	t.Helper()
	b.run(t, chromedp.Evaluate(expression, &value))
	return value
}

// texts returns the visible texts of the elements that a selector matches.
func (b *browser) texts(t *testing.T, selector string) []string {
	t.Helper()
	return eval[[]string](t, b, "[...document.querySelectorAll(`"+selector+"`)].map(e => e.textContent.trim().replace(/\\s+/g, ' '))")
}

func (b *browser) size(t *testing.T, width int64) {
	t.Helper()
	b.run(t, emulation.SetDeviceMetricsOverride(width, 900, 1, false))
}

func (b *browser) media(t *testing.T, media, scheme string) {
	t.Helper()
	b.run(t, emulation.SetEmulatedMedia().WithMedia(media).WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// TestInABrowser: Chromium shows the page without errors and without loading anything, whatever the
// names are, at every width, in both colour schemes and on paper.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	t.Run("contents", func(t *testing.T) {
		b.open(t, shop(t))
		for selector, want := range map[string][]string{
			"h1":                          {"Shop"},
			"h2":                          {"State", "Migrations", "Plan", "Differences between environments", "Schema of local", "History"},
			"#state h3":                   {"local", "production", "gone"},
			"#state .card.top-bad h3":     {"gone"},
			"#state .card.top-warn h3":    {"production"},
			".lead":                       {"2 of 3 databases need attention: production, gone."},
			"#migrations thead":           {"VersionNamelocalproduction"},
			"#migrations tbody th":        {"0001", "0002", "0003"},
			"#migrations tr.differs th":   {"0002"},
			"#migrations .state":          {"applied", "applied", "applied", "pending", "pending", "pending"},
			"#plan li strong":             {"0003 payments", "0002 orders", "0003 payments"},
			"#plan li:nth-of-type(1) pre": {"CREATE TABLE payments (id integer PRIMARY KEY, \"<b>\" text);", "CREATE TABLE orders (id integer PRIMARY KEY, customer integer NOT NULL REFERENCES customers(id));"},
			"#differences li":             {"− table orders removed CREATE TABLE orders (id integer PRIMARY KEY, customer integer NOT NULL REFERENCES customers(id))"},
			"#schema .wd-name":            {"customers", "orders"},
			"#schema .wd-owner":           {"owner sales"},
			"#schema .wd-edge title":      {"orders (customer) refers to customers (id)"},
			"#schema table tbody th":      {"id", "email", "id", "customer"},
			"#history .timeline strong":   {"0002 orders", "0001 customers", "frozen", "0001 customers"},
		} {
			if diff := cmp.Diff(want, b.texts(t, selector)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", selector, diff)
			}
		}
		state := strings.Join(b.texts(t, "#state .badges li"), "\n")
		for _, want := range []string{"frozen By ", "end of the quarter", "2 pending", "can't be read connection refused"} {
			if !strings.Contains(state, want) {
				t.Errorf("the state lacks %q:\n%s", want, state)
			}
		}
	})
	t.Run("hostile names", func(t *testing.T) {
		b.open(t, hostilePage())
		if got := eval[int](t, b, "document.querySelectorAll('script, iframe, img, object, embed, link, base, form, [onclick], [onload], [onerror]').length"); got != 0 {
			t.Errorf("the page has %d elements that a name created", got)
		}
		text := eval[string](t, b, "document.documentElement.textContent")
		for _, want := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</style><script>alert(2)</script>", "a<U+202E>b", `\x1b[31m`, "{{.Title}}"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks the text %q", want)
			}
		}
		if strings.ContainsAny(text, "\u202e\x1b\x00") {
			t.Error("the page has characters that change the direction, or controls")
		}
	})
	t.Run("widths", func(t *testing.T) {
		for name, p := range map[string]report.Page{"shop": shop(t), "hostile": hostilePage(), "empty": {}} {
			b.open(t, p)
			for _, width := range []int64{320, 400, 800, 1280, 2560} {
				b.size(t, width)
				if got := eval[int64](t, b, "document.documentElement.scrollWidth"); got > width {
					t.Errorf("%s: the page is %d pixels wide in a window of %d", name, got, width)
				}
			}
		}
	})
	t.Run("contrast", func(t *testing.T) {
		b.open(t, shop(t))
		backgrounds := map[string]string{}
		for _, scheme := range []string{"light", "dark"} {
			b.media(t, "screen", scheme)
			backgrounds[scheme] = eval[string](t, b, "getComputedStyle(document.body).backgroundColor")
			if low := eval[[]string](t, b, lowContrast); len(low) > 0 {
				t.Errorf("%s: too little contrast: %q", scheme, low)
			}
		}
		if backgrounds["light"] == backgrounds["dark"] {
			t.Errorf("both schemes have the background %s", backgrounds["dark"])
		}
	})
	t.Run("paper", func(t *testing.T) {
		b.open(t, shop(t))
		b.media(t, "print", "light")
		defer b.media(t, "screen", "light")
		const a4 = 794 // pixels
		b.size(t, a4)
		if got := eval[int](t, b, "document.documentElement.scrollWidth"); got > a4 {
			t.Errorf("the page is %d pixels wide on paper of %d", got, a4)
		}
		hidden := eval[int](t, b, "[...document.querySelectorAll('details > *')].filter(e => e.getBoundingClientRect().height == 0).length")
		if hidden > 0 {
			t.Errorf("%d parts of the page are not printed", hidden)
		}
		b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
			pdf, _, err := cdpage.PrintToPDF().Do(ctx)
			if !bytes.HasPrefix(pdf, []byte("%PDF")) {
				t.Errorf("the page printed is %.20q", pdf)
			}
			return err
		}))
	})
	t.Run("structure", func(t *testing.T) {
		b.open(t, shop(t))
		if problems := eval[[]string](t, b, structure); len(problems) > 0 {
			t.Errorf("%q", problems)
		}
	})
}

// lowContrast lists texts whose contrast is below 4.5, which WCAG 2 (AA) requires at least.
const lowContrast = `(() => {
	const light = c => { c = c / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 };
	const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
	const parse = s => s.match(/[\d.]+/g).map(Number);
	const behind = e => {
		if (e.closest('.wd-table')) return parse(getComputedStyle(e.closest('.wd-table').querySelector(e.classList.contains('wd-name') ? '.wd-head' : '.wd-box')).fill);
		for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c }
		return [255, 255, 255];
	};
	const low = [];
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('title, desc, style') || ![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
		const style = getComputedStyle(e), color = parse(e.closest('svg') ? style.fill : style.color);
		const [a, b] = [luminance(color), luminance(behind(e))], ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) low.push(e.textContent.trim().slice(0, 30) + ' ' + ratio.toFixed(1));
	}
	return low;
})()`

// structure lists what a screen reader would miss.
const structure = `(() => {
	const problems = [], all = s => [...document.querySelectorAll(s)];
	if (!document.documentElement.lang) problems.push('no language');
	if (!document.title) problems.push('no title');
	if (all('h1').length != 1) problems.push('not one h1');
	let last = 0;
	for (const h of all('h1, h2, h3, h4, h5')) { const n = +h.tagName[1]; if (n > last + 1) problems.push('heading skips to ' + h.textContent); last = n }
	for (const th of all('th')) if (!th.scope) problems.push('no scope: ' + th.textContent);
	for (const svg of all('svg')) if (svg.getAttribute('role') != 'img' || svg.firstElementChild.tagName != 'title') problems.push('a picture without a title');
	for (const a of all('a')) if (!document.querySelector(a.getAttribute('href'))) problems.push('no target: ' + a.href);
	for (const e of all('[tabindex]')) if (e.getAttribute('role') == 'region' && !e.getAttribute('aria-label')) problems.push('a region without a label');
	for (const e of all('[aria-labelledby]')) if (!document.getElementById(e.getAttribute('aria-labelledby'))) problems.push('no label');
	const ids = all('[id]').map(e => e.id); if (new Set(ids).size != ids.length) problems.push('an id occurs twice');
	for (const name of ['main', 'nav', 'header', 'footer']) if (all(name).length != 1) problems.push('not one ' + name);
	return problems;
})()`
