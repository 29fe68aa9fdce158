package cutover

import "time"

// Shape lets a retreat take users back in portions, for a blue that all of
// them at once would overload. Zero is one jump.
type Shape struct {
	Step  Percent       `json:"step"`  // of green's requests, per portion
	Pause time.Duration `json:"pause"` // between two portions
}

// impatient is after how many tries of one portion a retreat jumps.
const impatient = 3

// takeBack is the next call of a retreat. Portions are taken off the canary,
// which divides users exactly and at once; their intent is journalled first,
// and a journal that is lost ends them. Where there is nothing to divide, where
// a signal leaves no time, or where the dials cannot be read or do not follow,
// everything goes back at once. That is journalled first as well, since whoever
// resumes a shift whose record still says turning would turn it up again, but
// the call does not depend on it: the driver waits for the record a second.
func takeBack(s State, o Observation) (State, []Action) {
	if to, portion := s.portion(o); portion {
		s.Want = Setting{Dials: Dials{DNS: o.Live.DNS, Canary: to}, Base: o.Live.Base}
		return s, []Action{Save{}, SetCanary{From: o.Live.Canary, To: to}}
	}
	s.Want = s.Target
	return s, []Action{Save{}, Retreat{s.Target}}
}

// portion is the canary percent one portion down. It is never above what was
// wanted before: an old look must not raise anything. No portion follows a write
// that failed and does not show: it may land yet, after whatever comes next, and
// once the weights are back as well it gives nobody to a migration's green.
func (s State) portion(o Observation) (Percent, bool) {
	step := s.Plan.Shape.Step
	to := min(o.Live.Canary, s.Want.Canary+step) - step
	doubt := o.Write.Error != "" && !s.arrived(o)
	whole := doubt || step <= 0 || s.Stopped || o.Stop || !o.LiveKnown || o.Journal != "" || s.Tries > impatient
	if whole || o.Live.Base != s.Target.Base || to <= s.Target.Canary {
		return 0, false
	}
	return to, true
}

// arrived is true where the dials stand at the portion that was taken last.
func (s State) arrived(o Observation) bool {
	return s.Want.Dials != s.Target.Dials && o.LiveKnown && o.Live.Dials == s.Want.Dials
}
