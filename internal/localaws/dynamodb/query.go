package dynamodb

import (
	"cmp"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// maxPage is how much data one page of Query or Scan reads.
const maxPage = 1 << 20

// view is a table or one of its indexes.
type view struct {
	table      *table
	index      string
	hash, sort string
	projection *types.Projection
}

func (t *table) view(index *string) (view, error) {
	v := view{table: t}
	v.hash, v.sort = keys(t.description.KeySchema)
	if index == nil {
		return v, nil
	}
	for _, g := range t.description.GlobalSecondaryIndexes {
		if *g.IndexName == *index {
			v.index, v.projection = *index, g.Projection
			v.hash, v.sort = keys(g.KeySchema)
			return v, nil
		}
	}
	return v, validation("The table does not have the specified index: %s", *index)
}

// keyNames are the attributes that make a place in the view: the index's own
// keys and the table's.
func (v view) keyNames() []string {
	hash, sort := keys(v.table.description.KeySchema)
	var out []string
	for _, name := range []string{v.hash, v.sort, hash, sort} {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (v view) keyItem(item Item) Item {
	out := Item{}
	for _, name := range v.keyNames() {
		out[name] = item[name]
	}
	return out
}

// has says whether the item is in the view: an index holds only the items
// that have its keys.
func (v view) has(item Item) bool {
	_, hash := item[v.hash]
	_, sort := item[v.sort]
	return item != nil && hash && (sort || v.sort == "")
}

// shown is the item as the view holds it.
func (v view) shown(item Item) Item {
	if v.projection == nil || v.projection.ProjectionType == types.ProjectionTypeAll {
		return item
	}
	out := v.keyItem(item)
	if v.projection.ProjectionType == types.ProjectionTypeInclude {
		for _, name := range v.projection.NonKeyAttributes {
			if value, ok := item[name]; ok {
				out[name] = value
			}
		}
	}
	return out
}

// order compares two items by their place in the view.
func (v view) order(a, b Item, byHash bool) int {
	if v.sort != "" && !byHash {
		if order, ok := a[v.sort].compare(b[v.sort]); ok && order != 0 {
			return order
		}
	}
	for _, name := range v.keyNames() {
		if order := cmp.Compare(a[name].keyText(), b[name].keyText()); order != 0 {
			return order
		}
	}
	return 0
}

// read serves Query and Scan.
func (s *Service) read(call wire.Call, scan bool, r *request) (any, error) {
	if err := r.legacy(); err != nil {
		return nil, err
	}
	t, err := s.usable(call.Now, call.Region, r.TableName)
	if err != nil {
		return nil, err
	}
	v, err := t.view(r.IndexName)
	if err != nil {
		return nil, err
	}
	if v.index != "" && r.ConsistentRead {
		return nil, validation("Consistent reads are not supported on global secondary indexes")
	}
	if r.Limit != nil && *r.Limit < 1 {
		return nil, validation("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *r.Limit)
	}
	p := r.parser()
	var paths []path
	if r.ProjectionExpression != nil {
		if paths, err = p.paths(*r.ProjectionExpression); err != nil {
			return nil, err
		}
	}
	filter, err := p.condition("FilterExpression", r.FilterExpression)
	if err != nil {
		return nil, err
	}
	want, err := v.selection(scan, r, p)
	if err != nil {
		return nil, err
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	var items []Item
	for _, record := range t.records {
		if v.has(record.item) && want(record.item) {
			items = append(items, record.item)
		}
	}
	backward := !scan && r.ScanIndexForward != nil && !*r.ScanIndexForward
	compare := func(a, b Item) int {
		if backward {
			return -v.order(a, b, scan)
		}
		return v.order(a, b, scan)
	}
	slices.SortFunc(items, compare)
	if r.ExclusiveStartKey != nil {
		if len(r.ExclusiveStartKey) != len(v.keyNames()) || !v.has(r.ExclusiveStartKey) {
			return nil, validation("The provided starting key is invalid")
		}
		items = slices.DeleteFunc(items, func(i Item) bool { return compare(i, r.ExclusiveStartKey) <= 0 })
	}
	return v.page(r, items, filter, paths)
}

// selection is what Query's key condition or Scan's segment picks.
func (v view) selection(scan bool, r *request, p *parser) (func(Item) bool, error) {
	if !scan {
		if r.KeyConditionExpression == nil {
			return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
		}
		c, err := p.keyCondition(*r.KeyConditionExpression, v.hash, v.sort)
		if err != nil {
			return nil, err
		}
		if c.hash.kind != v.table.attribute(v.hash) {
			return nil, validation("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
		return func(i Item) bool { return i[v.hash].equal(c.hash) && (c.sorts == nil || c.sorts(i[v.sort])) }, nil
	}
	if (r.Segment == nil) != (r.TotalSegments == nil) {
		return nil, validation("The TotalSegments and Segment parameters must both be given")
	}
	if r.Segment == nil {
		return func(Item) bool { return true }, nil
	}
	total := *r.TotalSegments
	if total < 1 || *r.Segment < 0 || *r.Segment >= total {
		return nil, validation("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", *r.Segment, total)
	}
	return func(i Item) bool {
		sum := 0
		for _, c := range []byte(i[v.hash].keyText()) {
			sum = (sum*31 + int(c)) % 65521
		}
		return sum%total == *r.Segment
	}, nil
}

func (v view) page(r *request, items []Item, filter condition, paths []path) (any, error) {
	out := map[string]any{}
	chosen := []Item{}
	scanned, size := 0, 0
	for i, item := range items {
		shown := v.shown(item)
		scanned++
		size += shown.size()
		if filter(shown) {
			chosen = append(chosen, project(shown, paths))
		}
		full := r.Limit != nil && scanned == *r.Limit
		if full || size >= maxPage && i+1 < len(items) {
			// With a Limit AWS gives a key even after the last item.
			out["LastEvaluatedKey"] = v.keyItem(item)
			break
		}
	}
	out["Count"], out["ScannedCount"] = len(chosen), scanned
	switch r.Select {
	case "COUNT":
	case "", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES":
		out["Items"] = chosen
	default:
		return nil, validation("1 validation error detected: Value '%s' at 'select' failed to satisfy constraint", r.Select)
	}
	return out, nil
}

// listTables pages over the names in a region.
func (s *Service) listTables(call wire.Call, after *string, limit *int32) (any, error) {
	s.settle(call.Now)
	n := 100
	if limit != nil {
		n = int(*limit)
	}
	names := []string{}
	for key := range maps.Keys(s.tables) {
		if key.region == call.Region && key.name > aws.ToString(after) {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	out := map[string]any{"TableNames": names}
	if n > 0 && len(names) > n {
		out["TableNames"], out["LastEvaluatedTableName"] = names[:n], names[n-1]
	}
	return out, nil
}
