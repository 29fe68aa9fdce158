package apigateway

import "strconv"

// patchOperation is one entry of a patch list. Values are always strings.
type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// invalid is AWS's answer to an operation that its path does not support.
func (p patchOperation) invalid() error {
	return badRequest("Invalid %s operation with path: %s", p.Op, p.Path)
}

func (p patchOperation) flag() (bool, error) {
	value, err := strconv.ParseBool(p.Value)
	if err != nil {
		return false, badRequest("Invalid value %q for path %s: want true or false", p.Value, p.Path)
	}
	return value, nil
}
