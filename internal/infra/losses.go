package infra

import (
	"regexp"
	"strings"
)

// What the engine says of a step that protection forbids. Pulumi has no event
// for it: pkg/resource/deploy, step_generator.go.
var (
	notDeleted  = regexp.MustCompile(`resource "([^"]+)" cannot be deleted`)
	notReplaced = regexp.MustCompile(`unable to replace resource "([^"]+)"`)
)

// Losses is what the operation would have deleted or replaced, had the engine
// not refused it as protected: what is deleted first.
func (e *StackError) Losses() []Change {
	var all []Change
	for _, one := range []struct {
		op      string
		pattern *regexp.Regexp
	}{{"delete", notDeleted}, {"replace", notReplaced}} {
		for _, failure := range e.Failures {
			for _, match := range one.pattern.FindAllStringSubmatch(failure, -1) {
				// urn:pulumi:STACK::PROJECT::TYPE::NAME
				if parts := strings.SplitN(match[1], "::", 4); len(parts) == 4 {
					all = append(all, Change{Op: one.op, Type: parts[2], Name: parts[3]})
				}
			}
		}
	}
	return all
}
