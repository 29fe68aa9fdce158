package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"go.yaml.in/yaml/v3"
)

// PlanStep is one entry of a plan's file: a step, or a pause in front of the
// next one, or, at the end, of the promotion. A dial that is left out stays where
// the step before had it.
type PlanStep struct {
	DNS     *float64 `yaml:"dns"`
	Canary  *float64 `yaml:"canary"`
	Bake    string   `yaml:"bake"`  // empty: shift.bake
	Pause   string   `yaml:"pause"` // approval
	Timeout string   `yaml:"timeout"`

	BakeTime, TimeoutTime time.Duration `yaml:"-"`
}

// IsPause tells a pause from a step.
func (s PlanStep) IsPause() bool { return s.Pause != "" }

// LoadPlan reads a plan's file. Every problem is reported at once, by the
// number of its entry.
func LoadPlan(path string) ([]PlanStep, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Problems: []Problem{{Key: "shift.plan", Value: path, Reason: "cannot be read: " + err.Error()}}}
	}
	var plan struct {
		Steps []PlanStep `yaml:"steps"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&plan); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: path, Problems: []Problem{{Key: "steps", Reason: err.Error()}}}
	}
	var k checker
	if len(plan.Steps) == 0 {
		k.add("steps", "", "required: at least one step")
	}
	dns, canary := math.Inf(-1), math.Inf(-1)
	for i := range plan.Steps {
		step := &plan.Steps[i]
		k.planStep(fmt.Sprintf("steps[%d]", i+1), step)
		k.planRises(fmt.Sprintf("steps[%d]", i+1), step, &dns, &canary)
	}
	if len(plan.Steps) > 0 && plan.Steps[0].IsPause() {
		k.add("steps[1].pause", plan.Steps[0].Pause, "there is nothing before it: starting the shift is the first approval")
	}
	if len(k.problems) > 0 {
		return nil, &Error{File: path, Problems: k.problems}
	}
	return plan.Steps, nil
}

func (c *checker) planStep(key string, s *PlanStep) {
	switch {
	case s.IsPause() && s.Pause != "approval":
		c.add(key+".pause", s.Pause, "want approval")
	case s.IsPause() && (s.DNS != nil || s.Canary != nil || s.Bake != ""):
		c.add(key, "", "a pause has no dials of its own: put them into an entry after it")
	case !s.IsPause() && s.DNS == nil && s.Canary == nil:
		c.add(key, "", "want dns, canary or both, or pause")
	case !s.IsPause() && s.Timeout != "":
		c.add(key+".timeout", s.Timeout, "belongs to a pause")
	}
	c.planTime(key+".bake", s.Bake, &s.BakeTime)
	c.planTime(key+".timeout", s.Timeout, &s.TimeoutTime)
}

func (c *checker) planTime(key, text string, into *time.Duration) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		c.add(key, text, "want a duration with its unit, at least 1s, like 5m")
		return
	}
	*into = d
}

// planRises holds each dial at or above where it was: a plan never goes down.
func (c *checker) planRises(key string, s *PlanStep, dns, canary *float64) {
	for _, dial := range []struct {
		name  string
		value *float64
		was   *float64
	}{{"dns", s.DNS, dns}, {"canary", s.Canary, canary}} {
		if dial.value == nil {
			continue
		}
		c.between(key+"."+dial.name, *dial.value, 0, 100)
		if *dial.value < *dial.was {
			c.add(key+"."+dial.name, *dial.value, "falls from %v: a plan never goes down", *dial.was)
		}
		*dial.was = *dial.value
	}
	if s.DNS != nil && *s.DNS != float64(int(*s.DNS)) {
		c.add(key+".dns", *s.DNS, "want a whole percent: Route 53 weights are integers")
	}
}
