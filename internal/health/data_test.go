package health_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tapctl/tapctl/internal/health"
)

func TestJudgeData(t *testing.T) {
	t.Parallel()
	fine := health.Data{At: stepAt, Ways: []health.Way{{From: "blue", To: "green", Lag: time.Second, Arrived: true}, {From: "green", To: "blue", Arrived: true}}}
	change := func(f func(*health.Data)) health.Data {
		d := fine
		d.Ways = append([]health.Way(nil), fine.Ways...)
		f(&d)
		return d
	}
	tests := []struct {
		name   string
		data   health.Data
		after  time.Duration
		want   health.Verdict
		detail string
	}{
		{"well", fine, 0, health.Healthy, "at most 1s from blue to green, 0s from green to blue"},
		{"never read", health.Data{}, 0, health.Unknown, "not been read yet"},
		{"unreadable from the start", health.Data{Err: "denied"}, 0, health.Unknown, "cannot be read: denied"},
		{"unreadable a moment", change(func(d *health.Data) { d.Err = "throttled" }), 4 * time.Minute, health.Healthy, ""},
		{"unreadable for long", change(func(d *health.Data) { d.Err = "throttled" }), 6 * time.Minute, health.Unknown, "cannot be read: throttled"},
		{"a copy in the making", change(func(d *health.Data) { d.Copies = []string{"green: CREATING"} }), 0, health.Unknown, "green: CREATING"},
		{"late there", change(func(d *health.Data) { d.Ways[0].Lag = 31 * time.Second }), 0, health.Unknown, "31s from blue to green"},
		{"late back", change(func(d *health.Data) { d.Ways[1].Lag = time.Minute }), 0, health.Unknown, "1m0s from green to blue"},
		{"an item does not arrive", change(func(d *health.Data) { d.Ways[1].Arrived, d.Ways[1].Item = false, 31*time.Second }), 0, health.Unknown, "an item written in green has not arrived in blue after 31s"},
		{"an item arrives late", change(func(d *health.Data) { d.Ways[0].Item = 31 * time.Second }), 0, health.Unknown, "an item took 31s from blue to green"},
		{"an item tells where no metric does", change(func(d *health.Data) { d.Ways[1].Item = 2 * time.Second }), 0, health.Healthy, "2s from green to blue"},
		{"objects wait", change(func(d *health.Data) { d.Ways[1].Pending = 7 }), 0, health.Unknown, "7 objects"},
		{"objects were given up", change(func(d *health.Data) { d.Ways[0].Failed, d.Ways[0].Pending = 2, 7 }), 0, health.Unknown, "gave up replicating 2 time(s) lately from blue to green"},
	}
	for _, tt := range tests {
		got := health.JudgeData(tt.data, 30*time.Second, 5*time.Minute, stepAt.Add(tt.after))
		if got.Verdict != tt.want || !strings.Contains(got.Detail, tt.detail) {
			t.Errorf("%s: %v (%s), want %v with %q", tt.name, got.Verdict, got.Detail, tt.want, tt.detail)
		}
	}
}
