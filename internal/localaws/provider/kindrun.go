package provider

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// entry makes a spec's functions, which take its own struct, the methods of
// kind, which take properties.
type entry[P any] struct{ spec[P] }

func (e entry[P]) create(ctx context.Context, s *session, inputs resource.PropertyMap) (string, resource.PropertyMap, error) {
	p, err := decode[P](inputs)
	if err != nil {
		return "", nil, err
	}
	s = s.with(inputs)
	id, err := e.spec.create(ctx, s, p)
	if err != nil {
		return id, inputs, err
	}
	out, err := e.readBack(ctx, s, id, inputs, p)
	return id, out, err
}

func (e entry[P]) read(ctx context.Context, s *session, id string, inputs, state resource.PropertyMap) (newInputs, outputs resource.PropertyMap, found bool, err error) {
	p, err := decode[P](overlay(state, inputs))
	if err != nil {
		return nil, nil, false, err
	}
	live, err := e.spec.read(ctx, s.with(inputs), id, p)
	if gone(err) || err == nil && live == nil {
		return nil, nil, false, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	outputs, drifted, err := e.outputs(inputs, *live)
	if err != nil {
		return nil, nil, false, err
	}
	newInputs = inputs.Copy()
	for _, key := range drifted {
		delete(newInputs, key)
		if v, ok := outputs[key]; ok {
			newInputs[key] = v
		}
	}
	return newInputs, outputs, true, nil
}

func (e entry[P]) update(ctx context.Context, s *session, id string, oldInputs, state, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	old, err := decode[P](overlay(state, oldInputs))
	if err != nil {
		return nil, err
	}
	// The outputs of the old state, under the new inputs.
	now, err := decode[P](overlay(e.onlyOutputs(state), inputs))
	if err != nil {
		return nil, err
	}
	s = s.with(inputs)
	if e.spec.update != nil {
		if err := e.spec.update(ctx, s, id, old, now); err != nil {
			return nil, err
		}
	}
	return e.readBack(ctx, s, id, inputs, now)
}

func (e entry[P]) remove(ctx context.Context, s *session, id string, inputs, state resource.PropertyMap) error {
	p, err := decode[P](overlay(state, inputs))
	if err != nil {
		return err
	}
	if err := e.spec.remove(ctx, s.with(inputs), id, p); err != nil && !gone(err) {
		return err
	}
	return nil
}

func (e entry[P]) onlyOutputs(state resource.PropertyMap) resource.PropertyMap {
	_, _, props := e.types()
	out := resource.PropertyMap{}
	for name, f := range implemented(props) {
		if v, ok := state[resource.PropertyKey(name)]; ok && isOutput(f) {
			out[resource.PropertyKey(name)] = v
		}
	}
	return out
}

func overlay(under, over resource.PropertyMap) resource.PropertyMap {
	out := resource.PropertyMap{}
	for key, v := range under {
		out[key] = v
	}
	for key, v := range over {
		out[key] = v
	}
	return out
}
