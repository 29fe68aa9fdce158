package apigateway

import (
	"net/url"
	"strings"
)

// match finds the route of a path: a literal part wins over a parameter, and
// a parameter over a greedy one, part by part. parts are still escaped.
func match(routes []route, parts []string) (found *route, parameters map[string]string) {
	best := ""
	for i := range routes {
		rank, values, ok := routes[i].fits(parts)
		if ok && (found == nil || rank < best) {
			found, parameters, best = &routes[i], values, rank
		}
	}
	return found, parameters
}

// fits also returns a rank: one letter a part, smaller is more exact.
func (r *route) fits(parts []string) (rank string, values map[string]string, ok bool) {
	pattern := pathParts(r.path)
	ranks := make([]byte, 0, len(pattern))
	set := func(name, value string) {
		if values == nil {
			values = map[string]string{}
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		values[name] = value
	}
	for i, want := range pattern {
		name, greedy, parameter := parameterOf(want)
		switch {
		case greedy && i < len(parts):
			set(name, strings.Join(parts[i:], "/"))
			return string(append(ranks, 'c')), values, true
		case i >= len(parts):
			return "", nil, false
		case parameter:
			set(name, parts[i])
			ranks = append(ranks, 'b')
		case want != parts[i]:
			return "", nil, false
		default:
			ranks = append(ranks, 'a')
		}
	}
	return string(ranks), values, len(parts) == len(pattern)
}

func parameterOf(part string) (name string, greedy, ok bool) {
	inner, ok := strings.CutPrefix(part, "{")
	if !ok {
		return "", false, false
	}
	name, greedy = strings.CutSuffix(strings.TrimSuffix(inner, "}"), "+")
	return name, greedy, true
}

// pathParts splits a path; a trailing slash does not count, as in AWS.
func pathParts(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// method returns the integration for a verb, ANY standing for the others.
func (r *route) method(verb string) (integration, bool) {
	if in, ok := r.integrations[verb]; ok {
		return in, true
	}
	in, ok := r.integrations["ANY"]
	return in, ok
}
