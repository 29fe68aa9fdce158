package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/health"
	"github.com/tapctl/tapctl/internal/topology"
)

// dataPath: what a user will see after the shift, before any DNS change. Each
// region is asked under the public name.
func (v *verification) dataPath(ctx context.Context) []Check {
	f := pathFacts{sides: v.sides(), name: v.top.RecordName, path: v.top.HealthPath, external: v.top.External != ""}
	var wait sync.WaitGroup
	for i, s := range f.sides {
		if s.absent != "" {
			continue
		}
		ask(ctx, &wait, &f.answers[i], func(ctx context.Context) ([]health.Answer, error) { return v.walk(ctx, s) })
		ask(ctx, &wait, &f.live[i], func(ctx context.Context) (awsapi.AliasState, error) {
			return v.Clients.AliasState(ctx, s.Region, s.APIFunction, "live")
		})
		ask(ctx, &wait, &f.next[i], func(ctx context.Context) (awsapi.AliasState, error) {
			return v.Clients.AliasState(ctx, s.Region, s.APIFunction, "next")
		})
	}
	wait.Wait()
	return f.checks()
}

// walkRequests is the most that a region is asked. A canary of 10 percent is
// then met but for one time in 68.
const walkRequests = 40

// walk asks the region under the public name, until every side of it has
// answered, or one request failed.
func (v *verification) walk(ctx context.Context, s side) ([]health.Answer, error) {
	domain, err := v.Clients.RegionalDomain(ctx, s.Region, v.top.RecordName)
	if err != nil {
		return nil, err
	}
	prober, err := v.proberAt(v.top.RecordName, domain.Name, v.top.HealthPath)
	if err != nil {
		return nil, err
	}
	var answers []health.Answer
	var base, canary bool
	for range walkRequests {
		answer, err := prober.Get(ctx)
		if answer.Status != 0 {
			answers = append(answers, answer)
		}
		if err != nil {
			return answers, err
		}
		canary, base = canary || answer.Canary(), base || !answer.Canary()
		if base && (canary || s.colour == topology.Blue) {
			break
		}
	}
	return answers, nil
}

type pathFacts struct {
	sides      [2]side
	name, path string
	external   bool
	answers    [2]read[[]health.Answer]
	live, next [2]read[awsapi.AliasState]
}

func (f pathFacts) checks() []Check {
	var checks []Check
	for i, s := range f.sides {
		certificate, path, version := "certificate in "+s.Region, "GET "+f.path+" in "+s.Region, "version in "+s.Region
		got := f.answers[i]
		switch {
		case s.absent != "":
			checks = append(checks, skipped(certificate, s.absent), skipped(path, s.absent), skipped(version, s.absent))
			continue
		case len(got.value) == 0:
			const why = "nothing answered"
			checks = append(checks, f.unreached(certificate, s, got.err), skipped(path, why), skipped(version, why))
			continue
		}
		checks = append(checks, passed(certificate, "the chain is trusted and %s is in it", f.name))
		if isShutOut(got.err) {
			checks = append(checks, failed(path, letIn, "%v", got.err))
		} else if got.err != nil {
			checks = append(checks, failed(path, "tapctl status", "%v", got.err))
		} else {
			checks = append(checks, passed(path, "200, %d time(s)", len(got.value)))
		}
		checks = append(checks, f.version(version, i))
	}
	return checks
}

// unreached tells a certificate that does not fit from a door that is shut.
func (f pathFacts) unreached(name string, s side, err error) Check {
	if health.BadCertificate(err) {
		return failed(name, "check the certificate of "+f.name+" in "+s.Region+", then: tapctl verify", "%v", err)
	}
	if trouble, ok := errors.AsType[*awsapi.Trouble](err); ok {
		return unread(name, trouble)
	}
	return failed(name, "tapctl status", "%s cannot be reached in %s: %v", f.name, s.Region, err)
}

// version compares what answered with what was deployed: a candidate with the
// deploy's own record, a live version, which may be older, with its function.
func (f pathFacts) version(name string, i int) Check {
	var problems, seen []string
	answered := 0
	for _, answer := range f.answers[i].value {
		if !health.WellAnswered(answer.Status) {
			continue // told by the line before
		}
		answered++
		want, who, err := f.wanted(answer, i)
		if err != nil {
			return unread(name, err)
		}
		if want == unknownVersion {
			continue
		}
		switch {
		case answer.Version == "" || answer.Version != want:
			problems = append(problems, fmt.Sprintf("%s answers with version %q, deployed was %q", who, answer.Version, want))
		default:
			seen = append(seen, who+" "+answer.Version)
		}
	}
	slices.Sort(seen)
	slices.Sort(problems)
	switch {
	case answered == 0:
		return skipped(name, "no request was answered well")
	case len(seen)+len(problems) == 0:
		return skipped(name, "blue, which answers, is not tapctl's")
	}
	return judged(name, deployNext, strings.Join(slices.Compact(seen), ", "), slices.Compact(problems))
}

const unknownVersion = "?"

// wanted is the version that the answer should have, and who gave it.
func (f pathFacts) wanted(answer health.Answer, i int) (version, who string, err error) {
	if answer.Via == "forward" {
		if f.external {
			return unknownVersion, "", nil
		}
		return f.live[0].value.Label, "blue's live, forwarded,", f.live[0].err
	}
	if !answer.Canary() {
		return f.live[i].value.Label, "live", f.live[i].err
	}
	if deployed := f.sides[i].Version; deployed != "" {
		return deployed, "next", nil
	}
	return f.next[i].value.Label, "next", f.next[i].err
}
