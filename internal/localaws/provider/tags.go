package provider

import (
	"maps"
	"slices"
)

// retag makes the calls that turn one set of tags into the other.
func retag(old, now map[string]string, set func(map[string]string) error, remove func(keys []string) error) error {
	added := map[string]string{}
	for k, v := range now {
		if was, had := old[k]; !had || was != v {
			added[k] = v
		}
	}
	var removed []string
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, has := now[k]; !has {
			removed = append(removed, k)
		}
	}
	if len(removed) > 0 {
		if err := remove(removed); err != nil {
			return err
		}
	}
	if len(added) > 0 {
		return set(added)
	}
	return nil
}
