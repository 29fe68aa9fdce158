package app

import "github.com/tapctl/tapctl/internal/cutover"

// Outcome is where a run ended, in JSON too; the exit codes follow from it.
type Outcome string

// The outcomes. Where a shift ends is what its journal calls it.
const (
	Completed  = Outcome(cutover.Completed)
	RolledBack = Outcome(cutover.RolledBack)
	Held       = Outcome(cutover.Held)
	Uncertain  = Outcome(cutover.Uncertain)
	Declined   = Outcome("refused") // nothing has changed
	Failed     = Outcome("failed")  // an error ended it, which says what stands
)

// Outcomes are all there are.
var Outcomes = []Outcome{Completed, RolledBack, Held, Uncertain, Declined, Failed}
