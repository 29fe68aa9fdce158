// Package report tells the story of a run on stderr: for people at a terminal,
// for the log of a CI job, for machines, and as GitHub annotations. The result
// itself goes to stdout and is not its business.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// Format is a way to tell the story.
type Format string

// The formats.
const (
	TTY    Format = "tty"
	Plain  Format = "plain"
	JSON   Format = "json"
	GitHub Format = "github"
)

// Formats lists them for help texts and checks.
var Formats = []Format{TTY, Plain, JSON, GitHub}

// Detect picks the format for where the run is.
func Detect(terminal bool, env func(string) string) Format {
	switch {
	case env("GITHUB_ACTIONS") == "true":
		return GitHub
	case terminal && env("TERM") != "dumb" && env("CI") == "":
		return TTY
	default:
		return Plain
	}
}

// Reporter tells events, one after another.
type Reporter struct {
	mu     sync.Mutex
	format Format
	out    io.Writer
	color  bool
	// line is the length of the unfinished progress line on a terminal.
	line int
	copy io.Writer // of every event as JSON, a line each; nil: none
}

// New returns a reporter. color is used on a terminal only, and never carries
// meaning that the words do not.
func New(format Format, out io.Writer, color bool) *Reporter {
	return &Reporter{format: format, out: out, color: color && format == TTY}
}

// Format is how the story is told.
func (r *Reporter) Format() Format { return r.format }

// Copy has every event written to out as well, as JSON, a line each: a CI job
// keeps it as an artifact.
func (r *Reporter) Copy(out io.Writer) { r.copy = out }

// Event tells one event.
func (r *Reporter) Event(e cutover.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.copy != nil {
		_, _ = fmt.Fprintf(r.copy, "%s\n", encode(e)) // Non-fatal: a full disk must not stop a cutover.
	}
	switch r.format {
	case JSON:
		r.print("%s\n", encode(e))
	case GitHub:
		r.github(e)
	case TTY:
		r.tty(e)
	case Plain:
		r.print("%s\n", Line(e))
	default:
		r.print("%s\n", Line(e))
	}
}

func encode(e cutover.Event) []byte {
	encoded, err := json.Marshal(e)
	if err != nil {
		return fmt.Appendf(nil, "{%q:%q}", "error", err.Error())
	}
	return encoded
}

// Line is the event in one line of plain text.
func Line(e cutover.Event) string {
	where := ""
	if e.Steps > 0 && e.Live != nil {
		where = fmt.Sprintf("  [dns %v%% canary %v%% exposure %v%%]", e.Live.DNS, e.Live.Canary, e.Live.Exposure())
	}
	// Joined errors have a line each; a line of the story is one event.
	text := strings.ReplaceAll(e.Text, "\n", "; ")
	return fmt.Sprintf("%s  %-8s %s%s", e.At.UTC().Format(time.RFC3339), e.Kind, text, where)
}

// github marks what went wrong so that it shows beside the run's summary.
func (r *Reporter) github(e cutover.Event) {
	switch e.Kind {
	case cutover.EventRetreat:
		r.print("::error title=tapctl::%s\n", escape(e.Text))
	case cutover.EventTrouble:
		r.print("::warning title=tapctl::%s\n", escape(e.Text))
	case cutover.EventPlan, cutover.EventStep, cutover.EventWrite, cutover.EventWait, cutover.EventVerdict, cutover.EventFinish:
	}
	r.print("%s\n", Line(e))
}

// escape is GitHub's own escaping of workflow command data.
func escape(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

const clearLine = "\r\033[K"

// tty redraws waiting in place and keeps everything else.
func (r *Reporter) tty(e cutover.Event) {
	if e.Kind == cutover.EventWait {
		r.print("%s%s", clearLine, r.paint("90", Line(e)))
		r.line = len(e.Text)
		return
	}
	r.flush()
	colors := map[cutover.EventKind]string{
		cutover.EventRetreat: "31;1", cutover.EventTrouble: "33", cutover.EventFinish: "1", cutover.EventStep: "36",
	}
	r.print("%s\n", r.paint(colors[e.Kind], Line(e)))
}

func (r *Reporter) paint(code, text string) string {
	if !r.color || code == "" {
		return text
	}
	return "\033[" + code + "m" + text + "\033[0m"
}

// Flush ends an unfinished progress line.
func (r *Reporter) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
}

func (r *Reporter) flush() {
	if r.line > 0 {
		r.print("%s", clearLine)
		r.line = 0
	}
}

func (r *Reporter) print(format string, args ...any) {
	// Non-fatal: a closed stderr must not stop a cutover.
	_, _ = fmt.Fprintf(r.out, format, args...)
}
