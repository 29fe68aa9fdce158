package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/cutover"
)

// TestThePreflightRefusesWhatIsNotThere: a candidate that answers each probe with
// 404 or 403 is as bad as one that breaks.
func TestThePreflightRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for status, refused := range map[int]bool{200: false, 204: false, 301: false, 400: true, 403: true, 404: true, 429: true, 500: true, 502: true} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Config.Probe.Preflight = true
			w.green.answers = status
			err := w.Preflight(t.Context(), w.top, cutover.Plan{Steps: []cutover.Dials{{DNS: 100, Canary: 100}}, Bake: time.Minute, Poll: time.Second})
			if (err != nil) != refused {
				t.Errorf("%v, refused %v", err, refused)
			}
		})
	}
}
