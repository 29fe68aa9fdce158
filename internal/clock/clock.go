// Package clock is the only place that reads the machine's time. Everything
// else takes a Clock, or the time itself as data.
//
// Three clocks exist: Real; Scaled, which runs N times faster than the
// machine's and is how the embedded AWS turns an alarm's minute into a second
// (every process of one embedded AWS follows the same Scaled clock, exported
// as TAPCTL_CLOCK); and Manual, which only moves when a test says so.
package clock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Clock tells the time and waits for it to pass.
type Clock interface {
	// Now is the current time of this clock, in UTC.
	Now() time.Time
	// Sleep returns nil once d of this clock's time has passed, or the
	// context's error if that ends first. d <= 0 returns at once.
	Sleep(ctx context.Context, d time.Duration) error
}

// Real is the machine's clock.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now().UTC() }

// Sleep implements Clock.
func (Real) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Scaled runs Speed times faster than the machine's clock and agrees with it
// at Origin.
type Scaled struct {
	Origin time.Time
	Speed  float64
}

// NewScaled starts a clock now, at the machine's time.
func NewScaled(speed float64) Scaled {
	// Rounded so that its text form names exactly the same instant.
	return Scaled{Origin: time.Now().UTC().Truncate(time.Millisecond), Speed: speed}
}

// Now implements Clock.
func (c Scaled) Now() time.Time { return c.At(time.Now()) }

// At converts a time of the machine's clock into this clock's.
func (c Scaled) At(real time.Time) time.Time {
	return c.Origin.Add(time.Duration(float64(real.Sub(c.Origin)) * c.Speed)).UTC()
}

// Real converts a span of this clock into one of the machine's.
func (c Scaled) Real(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Speed)
}

// Sleep implements Clock.
func (c Scaled) Sleep(ctx context.Context, d time.Duration) error {
	return Real{}.Sleep(ctx, c.Real(d))
}

// String is the form Parse reads: "60@2026-11-23T20:25:00.123Z".
func (c Scaled) String() string {
	return strconv.FormatFloat(c.Speed, 'g', -1, 64) + "@" + c.Origin.Format(time.RFC3339Nano)
}

// Parse reads the value of TAPCTL_CLOCK. The empty string is the real clock.
func Parse(text string) (Clock, error) {
	if text == "" {
		return Real{}, nil
	}
	speedText, originText, found := strings.Cut(text, "@")
	if !found {
		return nil, fmt.Errorf("clock %q: want SPEED@ORIGIN, as printed by 'tapctl local env'", text)
	}
	speed, err := strconv.ParseFloat(speedText, 64)
	if err != nil || !(speed > 0) || speed > 1e6 {
		return nil, fmt.Errorf("clock %q: the speed must be a number above 0 and at most 1e6", text)
	}
	origin, err := time.Parse(time.RFC3339Nano, originText)
	if err != nil {
		return nil, fmt.Errorf("clock %q: the origin must be an RFC 3339 time: %w", text, err)
	}
	return Scaled{Origin: origin.UTC(), Speed: speed}, nil
}

// Manual is a clock that stands still until Advance moves it. Sleepers wake
// in the order of their deadlines. The zero value is not usable; see NewManual.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	changed chan struct{}
	waiting int // in Sleep
}

// NewManual returns a clock that stands at t.
func NewManual(t time.Time) *Manual {
	return &Manual{now: t.UTC(), changed: make(chan struct{})}
}

// Now implements Clock.
func (c *Manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward and wakes whoever waited for that.
func (c *Manual) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	close(c.changed)
	c.changed = make(chan struct{})
}

// Waiting is how many wait in Sleep just now: a test that advances the clock
// while nobody does makes what is under way take that long.
func (c *Manual) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

// Sleep implements Clock.
func (c *Manual) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	deadline := c.now.Add(d)
	c.waiting++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
	}()
	for {
		c.mu.Lock()
		now, changed := c.now, c.changed
		c.mu.Unlock()
		if !now.Before(deadline) {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

var (
	_ Clock = Real{}
	_ Clock = Scaled{}
	_ Clock = (*Manual)(nil)
)
