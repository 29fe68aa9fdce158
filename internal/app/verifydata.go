package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/awsapi"
)

// dynamodb: the application's table and tapctl's own, in both regions.
func (v *verification) dynamodb(ctx context.Context) []Check {
	f := tableFacts{tables: [2]string{v.top.Table, v.top.ControlTable}, regions: v.regions(), keys: v.top.Keys, adopted: v.Config.Table.Adopt != ""}
	var wait sync.WaitGroup
	for i, table := range f.tables {
		for j, region := range f.regions {
			ask(ctx, &wait, &f.states[i][j], func(ctx context.Context) (awsapi.TableState, error) {
				return v.Clients.TableState(ctx, region, table)
			})
		}
	}
	wait.Wait()
	return append(f.checks(), v.sentinels(ctx, "%s -> %s, an item of the control table", [2]string{}, func(ctx context.Context, way int) (time.Duration, error) {
		return v.itemCrosses(ctx, f.regions[way], f.regions[1-way])
	})...)
}

// regions are the source's and the target's: base is in both, whoever blue is.
func (v *verification) regions() [2]string {
	return [2]string{v.Config.SourceRegion, v.Config.TargetRegion}
}

type tableFacts struct {
	tables  [2]string         // the application's, the control table
	regions [2]string         // source, target
	keys    map[string]string // the customer keys, by region
	adopted bool              // the application's, in the source region
	states  [2][2]read[awsapi.TableState]
}

func (f tableFacts) checks() []Check {
	var checks []Check
	for i, table := range f.tables {
		for j, region := range f.regions {
			names := []string{fmt.Sprintf("%s in %s", table, region), fmt.Sprintf("encryption of %s in %s", table, region), fmt.Sprintf("recovery of %s in %s", table, region),
				fmt.Sprintf("protection of %s in %s", table, region)}
			state := f.states[i][j]
			if state.err != nil {
				checks = append(append(checks, unread(names[0], state.err)), allSkipped(names[1:], "the table was not read")...)
				continue
			}
			checks = append(checks, f.active(names[0], state.value, f.regions[1-j]))
			if f.adopted && i == 0 && j == 0 {
				checks = append(checks, allSkipped(names[1:], "the table is adopted: its owner's choice")...)
				continue
			}
			checks = append(checks, f.encrypted(names[1], state.value, i, region),
				is(names[2], state.value.Recovery, "to any second of the last days", "point-in-time recovery is off"),
				f.protected(names[3], state.value, i))
		}
	}
	return checks
}

// protected is each copy's own. Who made an adopted table's replica is not known
// here.
func (f tableFacts) protected(name string, state awsapi.TableState, table int) Check {
	switch {
	case state.Protected:
		return passed(name, "it cannot be deleted")
	case f.adopted && table == 0:
		return skipped(name, "it can be deleted, which is its owner's choice where the replica is not tapctl's")
	default:
		return failed(name, deployNext, "deletion protection is off")
	}
}

// encrypted compares with the region's own key. Which one an adopted table's
// replica has, its owner chose with the table's, or where it made the replica.
func (f tableFacts) encrypted(name string, state awsapi.TableState, table int, region string) Check {
	switch want := f.keys[region]; {
	case !state.Encrypted && f.adopted && table == 0:
		return passed(name, "by a key that AWS owns, as its owner chose for the table")
	case !state.Encrypted:
		return failed(name, previewNext, "its key is AWS's, or none")
	case want != "" && state.Key != want && !(f.adopted && table == 0):
		return failed(name, previewNext, "its key is %s, not %s", state.Key, want)
	default:
		return passed(name, "by %s", state.Key)
	}
}

// is passes where on, and names a deploy as what puts it right.
func is(name string, on bool, yes, no string) Check {
	if !on {
		return failed(name, previewNext, "%s", no)
	}
	return passed(name, "%s", yes)
}

func (f tableFacts) active(name string, state awsapi.TableState, other string) Check {
	var problems []string
	if state.Status != "ACTIVE" {
		problems = append(problems, "the table is "+state.Status)
	}
	if state.Replicas[other] == "" {
		problems = append(problems, "it has no replica in "+other)
	}
	for _, region := range slices.Sorted(maps.Keys(state.Replicas)) {
		if status := state.Replicas[region]; status != "ACTIVE" {
			problems = append(problems, "its replica in "+region+" is "+status)
		}
	}
	return judged(name, "tapctl verify, once it is ACTIVE; or tapctl deploy", "ACTIVE, its replica as well", problems)
}

// The longest that a sentinel may take, by AWS's clock. DynamoDB's lag is about
// a second; S3 promises 15 minutes and takes seconds. A look takes real time
// too, which the clock may outrun: so many looks are taken in any case.
const (
	itemBound   = 30 * time.Second
	objectBound = 5 * time.Minute
	crossPause  = time.Second
	crossLooks  = 30
)

// sentinels sends one each way, at the same time. why is, by way, a reason not
// to.
func (v *verification) sentinels(ctx context.Context, name string, why [2]string, cross func(ctx context.Context, way int) (time.Duration, error)) []Check {
	regions := v.regions()
	var checks [2]Check
	var wait sync.WaitGroup
	for way := range checks {
		name := "sentinel " + fmt.Sprintf(name, regions[way], regions[1-way])
		switch {
		case v.ask.NoSentinel:
			checks[way] = skipped(name, "--no-sentinel")
		case why[way] != "":
			checks[way] = skipped(name, why[way])
		default:
			wait.Go(func() {
				took, err := cross(ctx, way)
				if err != nil {
					checks[way] = unread(name, err)
					return
				}
				checks[way] = passed(name, "replicated within %v, and deleted", took.Round(100*time.Millisecond))
			})
		}
	}
	wait.Wait()
	return checks[:]
}

// arrives waits until there says so, or for bound and so many looks, and says
// how long that took.
func (a *App) arrives(ctx context.Context, bound time.Duration, there func(context.Context) (bool, error)) (took time.Duration, arrived bool, err error) {
	began := a.Clock.Now()
	for looks := 1; ; looks++ {
		call, cancel := context.WithTimeout(ctx, questionPatience)
		arrived, err := there(call)
		cancel()
		took := a.Clock.Now().Sub(began)
		if err != nil || arrived || took >= bound && looks >= crossLooks {
			return took, arrived, err
		}
		if err := a.Clock.Sleep(ctx, crossPause); err != nil {
			return took, false, err
		}
	}
}

// arrives refuses what has not arrived in time.
func (v *verification) arrives(ctx context.Context, bound time.Duration, there func(context.Context) (bool, error)) (time.Duration, error) {
	took, arrived, err := v.App.arrives(ctx, bound, there)
	if err == nil && !arrived {
		err = &Refused{Cause: fmt.Errorf("it has not arrived after %v", took.Round(time.Second)), Next: "look at the replication, then: tapctl verify"}
	}
	return took, err
}

// cleaned runs what takes a sentinel away again, even where the run was told
// to end.
func cleaned(ctx context.Context, err *error, drop func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), questionPatience)
	defer cancel()
	if dropErr := drop(ctx); *err == nil {
		*err = dropErr
	}
}

func (v *verification) itemCrosses(ctx context.Context, from, to string) (took time.Duration, err error) {
	control, id := v.control(), v.Owner+" from "+from
	call, cancel := context.WithTimeout(ctx, questionPatience)
	defer cancel()
	// Not every write that fails has failed: it is taken away in any case.
	defer cleaned(ctx, &err, func(ctx context.Context) error { return control.DropSentinel(ctx, from, id) })
	if err := control.PutSentinel(call, from, id, v.Owner); err != nil {
		return 0, err
	}
	return v.arrives(ctx, itemBound, func(ctx context.Context) (bool, error) { return control.SeeSentinel(ctx, to, id, v.Owner) })
}
