package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
)

func TestScaledSurvivesItsTextForm(t *testing.T) {
	t.Parallel()
	want := clock.NewScaled(60)
	got, err := clock.Parse(want.String())
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("Parse(%q) = %v", want.String(), got)
	}
}

func TestScaledRunsFaster(t *testing.T) {
	t.Parallel()
	origin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := clock.Scaled{Origin: origin, Speed: 60}
	if got, want := c.At(origin.Add(time.Second)), origin.Add(time.Minute); !got.Equal(want) {
		t.Errorf("one second later it is %v, want %v", got, want)
	}
	if got := c.Real(time.Minute); got != time.Second {
		t.Errorf("a minute takes %v, want 1s", got)
	}
}

func TestParseRejects(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"60", "x@2026-01-01T00:00:00Z", "0@2026-01-01T00:00:00Z", "-1@2026-01-01T00:00:00Z",
		"NaN@2026-01-01T00:00:00Z", "+Inf@2026-01-01T00:00:00Z", "60@yesterday"} {
		if _, err := clock.Parse(text); err == nil {
			t.Errorf("Parse(%q) was accepted", text)
		}
	}
	if c, err := clock.Parse(""); err != nil || c != (clock.Real{}) {
		t.Errorf("Parse(\"\") = %v, %v; want the real clock", c, err)
	}
}

func TestManualWakesSleepersAtTheirDeadline(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	woke := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		woke <- c.Sleep(context.Background(), time.Minute)
	}()
	<-started
	for range 120 {
		c.Advance(time.Second)
	}
	if err := <-woke; err != nil {
		t.Fatal(err)
	}
}

func TestSleepEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []clock.Clock{clock.Real{}, clock.NewScaled(60), clock.NewManual(time.Unix(0, 0))} {
		if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("%T.Sleep = %v, want context.Canceled", c, err)
		}
	}
}
