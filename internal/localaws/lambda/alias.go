package lambda

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// alias is a name for a version, or for two of them with a weight.
type alias struct {
	Name, Description, Version, RevisionID string
	Weights                                map[string]float64 // of the second version
}

// pick draws the version of one invocation.
func (a alias) pick(draw func() float64) string {
	for version, weight := range a.Weights { // at most one
		if draw() < weight {
			return version
		}
	}
	return a.Version
}

func (a alias) leadsTo(version string) bool {
	_, weighted := a.Weights[version]
	return weighted || a.Version == version
}

type routingConfig struct{ AdditionalVersionWeights map[string]float64 }

// aliasInput is the body of CreateAlias and UpdateAlias.
type aliasInput struct {
	Name, FunctionVersion, Description *string
	RevisionId                         string
	RoutingConfig                      *routingConfig
}

var (
	aliasPattern  = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	numberPattern = regexp.MustCompile(`^[0-9]+$`)
)

func aliasNotFound(r reference) error {
	return fail(http.StatusNotFound, "ResourceNotFoundException", "Cannot find alias arn: %s", r.arn())
}

// putAlias creates the alias, or updates it when create is false.
func (s *store) putAlias(r reference, in aliasInput, create bool) (alias, error) {
	var out alias
	err := s.with(reference{r.Region, r.Name, ""}, func(f *function) error {
		a, exists := f.Aliases[r.Qualifier]
		switch {
		case create && exists:
			return fail(http.StatusConflict, "ResourceConflictException", "Alias already exists: %s", r.arn())
		case !create && !exists:
			return aliasNotFound(r)
		case create && (!aliasPattern.MatchString(r.Qualifier) || numberPattern.MatchString(r.Qualifier)):
			return constraint("name", r.Qualifier, `Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)`)
		}
		if err := precondition(in.RevisionId, a.RevisionID); err != nil {
			return err
		}
		a.Name = r.Qualifier
		set(&a.Version, in.FunctionVersion)
		set(&a.Description, in.Description)
		if in.RoutingConfig != nil {
			a.Weights = maps.Clone(in.RoutingConfig.AdditionalVersionWeights)
		}
		if err := f.validateAlias(r, a); err != nil {
			return err
		}
		a.RevisionID = newID()
		f.Aliases[r.Qualifier] = a
		out = a
		return nil
	})
	return out, err
}

func (f *function) validateAlias(r reference, a alias) error {
	if a.Version == "" {
		return constraint("functionVersion", "null", "Member must not be null")
	}
	if f.version(a.Version) == nil {
		return notFound(reference{r.Region, r.Name, a.Version})
	}
	if len(a.Weights) > 1 {
		return invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for version, weight := range a.Weights {
		switch {
		case weight < 0 || weight > 1:
			return constraint("routingConfig.additionalVersionWeights", weight, "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0]")
		case version == a.Version:
			return invalid("Invalid function version %s. Function version %s is already included in routing configuration.", version, version)
		case version == latest || a.Version == latest:
			return invalid("$LATEST is not supported for an alias pointing to more than 1 version")
		case f.version(version) == nil:
			return notFound(reference{r.Region, r.Name, version})
		case f.version(version).Settings.Role != f.version(a.Version).Settings.Role:
			return invalid("Function versions %s and %s must have the same execution role", a.Version, version)
		}
	}
	return nil
}

func (s *store) alias(r reference) (alias, error) {
	var out alias
	err := s.with(reference{r.Region, r.Name, ""}, func(f *function) error {
		a, ok := f.Aliases[r.Qualifier]
		if !ok {
			return aliasNotFound(r)
		}
		out = a
		return nil
	})
	return out, err
}

// deleteAlias succeeds on an alias that is not there, as AWS does.
func (s *store) deleteAlias(r reference) error {
	return s.with(reference{r.Region, r.Name, ""}, func(f *function) error {
		delete(f.Aliases, r.Qualifier)
		delete(f.Policies, r.Qualifier)
		return nil
	})
}

// aliases lists the function's aliases by name; version "" is any.
func (s *store) aliases(r reference, version string) ([]alias, error) {
	var out []alias
	err := s.with(r, func(f *function) error {
		for _, a := range f.Aliases {
			if version == "" || a.leadsTo(version) {
				out = append(out, a)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b alias) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}
