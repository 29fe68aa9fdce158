package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Problem is one thing wrong with the configuration.
type Problem struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

// Error is every problem of a configuration. It is a usage error: nothing has
// run and nothing has changed.
type Error struct {
	File     string
	Problems []Problem
}

// Error implements error: one line per problem.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "configuration %s: %d problem(s)", e.File, len(e.Problems))
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s = %q: %s", p.Key, p.Value, p.Reason)
	}
	return b.String()
}

// ExitCode is 2: usage or configuration.
func (e *Error) ExitCode() int { return 2 }

// Hint is the next command to type.
func (e *Error) Hint() string {
	return "correct the keys above, then run: tapctl validate -c " + e.File
}

// EnvPrefix starts the variable of every key: TAPCTL_SHIFT_BAKE is shift.bake.
const EnvPrefix = "TAPCTL"

// Load reads the file, lays TAPCTL_* variables and then the overrides (flags;
// key -> value) over it, and checks the result. Relative paths in the file are
// relative to the file, those of variables and overrides to the working
// directory; all become absolute. A failed check returns *Error with all
// problems.
func Load(file string, overrides map[string]any) (Config, error) {
	v := viper.New()
	v.SetConfigFile(file)
	v.SetConfigType("yaml")
	v.SetEnvPrefix(EnvPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	for key, value := range flatten(Defaults()) {
		v.SetDefault(key, value)
	}
	if err := v.ReadInConfig(); err != nil {
		return Config{}, unreadable(file, err)
	}
	for key, value := range overrides {
		v.Set(key, value)
	}
	config, problems := decode(v)
	inFile := func(key string) bool {
		_, overridden := overrides[key]
		return !overridden && os.Getenv(variable(key)) == ""
	}
	if err := config.resolvePaths(filepath.Dir(file), inFile); err != nil {
		return Config{}, err
	}
	problems = append(problems, unreported(config.check(), problems)...)
	if len(problems) > 0 {
		return Config{}, &Error{File: file, Problems: problems}
	}
	return config, nil
}

// variable is the TAPCTL_* variable of a key.
func variable(key string) string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func unreadable(file string, err error) error {
	reason := err.Error()
	if errors.Is(err, os.ErrNotExist) {
		reason = "no such file; name one with -c, or write one with 'tapctl init'"
	}
	return &Error{File: file, Problems: []Problem{{Key: "config", Value: file, Reason: reason}}}
}

// decode reports unknown keys and wrong types as problems, each by its key.
func decode(v *viper.Viper) (Config, []Problem) {
	var config Config
	var problems []Problem
	known := flatten(Defaults())
	for _, key := range v.AllKeys() {
		if _, ok := known[key]; ok {
			continue
		}
		if reason := strange(key, v.Get(key), known); reason != "" {
			problems = append(problems, Problem{key, fmt.Sprint(v.Get(key)), reason})
		}
	}
	for key := range known {
		if within(key, problems) {
			continue
		}
		if err := decodeKey(&config, key, v.Get(key)); err != nil {
			problems = append(problems, Problem{key, fmt.Sprint(v.Get(key)), err.Error()})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return config, problems
}

// strange says what is wrong with a key that is none of the known ones: a
// section where its keys are commented out is not.
func strange(key string, value any, known map[string]any) string {
	var keys []string
	for candidate := range known {
		if strings.HasPrefix(candidate, key+".") {
			keys = append(keys, candidate)
		}
	}
	if len(keys) == 0 {
		return "unknown key" + closest(key, known)
	}
	if _, empty := value.(map[string]any); empty || value == nil {
		return ""
	}
	return fmt.Sprintf("a section: put its keys, like %s, under it", slices.Min(keys))
}

// within tells whether one of the problems is with the key or its section.
func within(key string, problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return key == p.Key || strings.HasPrefix(key, p.Key+".") })
}

// unreported are the found problems that are not about keys whose values could
// not even be read, each key and value once.
func unreported(found, unread []Problem) []Problem {
	var kept []Problem
	for _, p := range found {
		again := func(other Problem) bool { return other.Key == p.Key && other.Value == p.Value }
		if !within(p.Key, unread) && !slices.ContainsFunc(kept, again) {
			kept = append(kept, p)
		}
	}
	return kept
}

func decodeKey(config *Config, key string, value any) error {
	nested := value
	parts := strings.Split(key, ".")
	for _, part := range slices.Backward(parts) {
		nested = map[string]any{part: nested}
	}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           config,
		WeaklyTypedInput: true,
		ErrorUnused:      true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(), refuseLossy, splitList),
	})
	if err != nil {
		return err
	}
	if err := decoder.Decode(nested); err != nil {
		return wrongType(reflect.ValueOf(*config), parts)
	}
	return nil
}

// refuseLossy refuses what mapstructure would convert into something that
// nobody wrote: "bake: 5" into 5 ns, 256.7 into 256, true into 1, "" into 0.
func refuseLossy(from, to reflect.Type, value any) (any, error) {
	number := to.Kind() == reflect.Int || to.Kind() == reflect.Float64
	fraction, _ := value.(float64)
	switch {
	case to == durationType && from != durationType:
		return nil, errors.New("a duration needs a unit")
	case from.Kind() == reflect.Bool && to.Kind() != reflect.Bool && (number || to.Kind() == reflect.String):
		return nil, errors.New("a truth value is neither a number nor a text")
	case number && value == "":
		return nil, errors.New("an empty text is not a number")
	case to.Kind() == reflect.Int && fraction != math.Trunc(fraction):
		return nil, errors.New("a fraction is not a whole number")
	default:
		return value, nil
	}
}

// splitList reads a list from one text, as a variable has it: "a, b".
func splitList(from, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || from.Kind() != reflect.String || to.Kind() != reflect.Slice {
		return value, nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts, nil
}

func wrongType(v reflect.Value, parts []string) error {
	for _, part := range parts {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("mapstructure") == part {
				v = v.Field(i)
				break
			}
		}
	}
	if v.Type() == durationType {
		return errors.New(`want a duration with its unit, like "5m" or "90s"`)
	}
	return fmt.Errorf("want %s", map[reflect.Kind]string{
		reflect.String: "a text", reflect.Int: "a whole number", reflect.Float64: "a number", reflect.Slice: "a list", reflect.Bool: "true or false",
	}[v.Kind()])
}

func closest(key string, known map[string]any) string {
	best, bestDistance := "", 4
	for candidate := range known {
		if d := distance(key, candidate); d < bestDistance || (d == bestDistance && candidate < best) {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance of two short keys.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// Keys are all configuration keys, sorted.
func Keys() []string {
	known := flatten(Defaults())
	keys := make([]string, 0, len(known))
	for key := range known {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func flatten(config Config) map[string]any {
	flat := map[string]any{}
	flattenInto(flat, "", reflect.ValueOf(config))
	return flat
}

func flattenInto(flat map[string]any, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		key := prefix + v.Type().Field(i).Tag.Get("mapstructure")
		if v.Field(i).Kind() == reflect.Struct {
			flattenInto(flat, key+".", v.Field(i))
			continue
		}
		flat[key] = v.Field(i).Interface()
	}
}

func (c *Config) resolvePaths(dir string, inFile func(key string) bool) error {
	plan := c.Shift.PlanFile()
	if plan != "" {
		defer func() { c.Shift.Plan = plan }()
	}
	for key, path := range map[string]*string{
		"function.api": &c.Function.API, "function.forward": &c.Function.Forward, "aws.ca_bundle": &c.AWS.CABundle, "infra.pulumi": &c.Infra.Pulumi,
		"shift.plan": &plan,
	} {
		if *path == "" {
			continue
		}
		if inFile(key) && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("resolve %s %s: %w", key, *path, err)
		}
		*path = absolute
	}
	if c.Owner == "" {
		c.Owner = c.TeamName
	}
	return nil
}
