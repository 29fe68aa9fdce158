package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// Control is the control table: topology, lease and journal. Reads fall back
// to the other region's replica; conditional writes are local to a region, so
// they all go to the target region.
type Control struct {
	clients *Clients
	table   string
	home    string // target region
	replica string // source region
}

// NewControl returns the control table of the two regions.
func NewControl(c *Clients, table, target, source string) *Control {
	return &Control{clients: c, table: table, home: target, replica: source}
}

// ErrNoTopology means that nothing was deployed under this name yet.
var ErrNoTopology = errors.New("nothing is deployed under this team and environment")

// The keys of the items. Each kind has its own partition.
const (
	pkTopology = "topology"
	pkLease    = "lease"
	pkShift    = "shift"
	pkHistory  = "history"  // one item a shift that ended; sk is its id
	pkApproval = "approval" // one item a gate that was opened; sk is shift and step
	skCurrent  = "current"
	document   = "document" // attribute: the item's JSON
)

func key(pk string) map[string]ddbtypes.AttributeValue {
	return map[string]ddbtypes.AttributeValue{"pk": text(pk), "sk": text(skCurrent)}
}

func text(s string) ddbtypes.AttributeValue { return &ddbtypes.AttributeValueMemberS{Value: s} }

func number(n int64) ddbtypes.AttributeValue {
	return &ddbtypes.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// get reads one item from the target region, or from the replica when that
// region does not answer or has lost its table. No item is only what the target
// region says, or the replica where there is no other: what a region that does
// not answer has, its replica may not have yet.
func (c *Control) get(ctx context.Context, pk string) (map[string]ddbtypes.AttributeValue, error) {
	read := func(ctx context.Context, region string, consistent bool) (map[string]ddbtypes.AttributeValue, error) {
		out, err := c.clients.DynamoDB(region).GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &c.table, Key: key(pk), ConsistentRead: &consistent,
		})
		if err != nil {
			return nil, err
		}
		return out.Item, nil
	}
	item, err := func() (map[string]ddbtypes.AttributeValue, error) {
		home, cancel := untilHalf(ctx)
		defer cancel()
		return read(home, c.home, true)
	}()
	if err == nil {
		return item, nil
	}
	item, replicaErr := read(ctx, c.replica, false)
	if replicaErr == nil && (item != nil || noTable(err)) {
		return item, nil
	}
	return nil, c.unread("read "+pk, err, replicaErr)
}

// unread is why neither region could be read.
func (c *Control) unread(step string, home, replica error) error {
	switch {
	case noTable(home) && noTable(replica):
		return fmt.Errorf("%s from table %s: %w", step, c.table, ErrNoTopology)
	case noTable(home):
		return trouble(fmt.Sprintf("%s from table %s in %s, as there is none in %s", step, c.table, c.replica, c.home), replica)
	default:
		return trouble(step+" from table "+c.table, home)
	}
}

// noTable is the error of a step that found no control table.
func (c *Control) noTable(step string) error {
	return fmt.Errorf("%s in table %s: %w", step, c.table, ErrNoTopology)
}

// noTable is the answer of a region that has no such table.
func noTable(err error) bool { return code(err) == "ResourceNotFoundException" }

// untilHalf ends after half of the time that ctx has left: a home region that
// does not answer must leave the replica its turn.
func untilHalf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	now := clock.Real{}.Now()
	return context.WithDeadline(ctx, now.Add(deadline.Sub(now)/2))
}

func (c *Control) getDocument(ctx context.Context, pk string, into any) (found bool, err error) {
	item, err := c.get(ctx, pk)
	if err != nil || item == nil {
		return false, err
	}
	encoded, ok := item[document].(*ddbtypes.AttributeValueMemberS)
	if !ok {
		return false, fmt.Errorf("read %s from table %s: the item has no document", pk, c.table)
	}
	if err := json.Unmarshal([]byte(encoded.Value), into); err != nil {
		return false, fmt.Errorf("read %s from table %s: %w", pk, c.table, err)
	}
	return true, nil
}

// Topology reads what the last deploy built.
func (c *Control) Topology(ctx context.Context) (topology.Topology, error) {
	var t topology.Topology
	found, err := c.getDocument(ctx, pkTopology, &t)
	if err == nil && !found {
		err = ErrNoTopology
	}
	return t, err
}

// PutTopology stores what this deploy built.
func (c *Control) PutTopology(ctx context.Context, t topology.Topology) error {
	item, err := topologyItem(t)
	if err != nil {
		return err
	}
	_, err = c.clients.DynamoDB(c.home).PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.table, Item: item})
	return trouble("store the topology in table "+c.table, err)
}

func topologyItem(t topology.Topology) (map[string]ddbtypes.AttributeValue, error) {
	encoded, err := json.Marshal(t)
	item := key(pkTopology)
	item[document] = text(string(encoded))
	return item, err
}

// Forget removes the topology and the journal's newest shift, once what they
// name has gone: the next deployment's dials are not theirs. The history stays.
func (c *Control) Forget(ctx context.Context) error {
	return errors.Join(c.deleteItem(ctx, pkTopology), c.deleteItem(ctx, pkShift))
}

func (c *Control) deleteItem(ctx context.Context, pk string) error {
	_, err := c.clients.DynamoDB(c.home).DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.table, Key: key(pk)})
	if noTable(err) {
		return c.noTable("delete " + pk)
	}
	return trouble("delete "+pk+" from table "+c.table, err)
}

// Shift reads the journal's newest shift; found is false where there was none.
func (c *Control) Shift(ctx context.Context) (s cutover.State, found bool, err error) {
	found, err = c.getDocument(ctx, pkShift, &s)
	return s, found, err
}

// Lease reads who may turn the dials; the zero Lease where nobody ever did.
func (c *Control) Lease(ctx context.Context) (cutover.Lease, error) {
	item, err := c.get(ctx, pkLease)
	if err != nil || item == nil {
		return cutover.Lease{}, err
	}
	return leaseOf(item), nil
}

func leaseOf(item map[string]ddbtypes.AttributeValue) cutover.Lease {
	str := func(name string) string {
		value, _ := item[name].(*ddbtypes.AttributeValueMemberS)
		if value == nil {
			return ""
		}
		return value.Value
	}
	num := func(name string) int64 {
		value, _ := item[name].(*ddbtypes.AttributeValueMemberN)
		if value == nil {
			return 0
		}
		n, _ := strconv.ParseInt(value.Value, 10, 64)
		return n
	}
	return cutover.Lease{
		Owner: str("owner"), RunURL: str("run_url"), Purpose: str("purpose"),
		Token: num("fence"), Expires: time.UnixMilli(num("expires")).UTC(),
	}
}

// Take acquires the lease for want.Owner until want.Expires, if it is free,
// expired or its own. It fails with *cutover.LeaseHeld otherwise.
func (c *Control) Take(ctx context.Context, want cutover.Lease, now time.Time) (*Held, error) {
	in := c.leaseUpdate(want)
	in.ConditionExpression = aws.String("attribute_not_exists(pk) OR expires <= :now OR #owner = :owner")
	in.ExpressionAttributeValues[":now"] = number(now.UnixMilli())
	in.ReturnValuesOnConditionCheckFailure = ddbtypes.ReturnValuesOnConditionCheckFailureAllOld
	out, err := c.clients.DynamoDB(c.home).UpdateItem(ctx, in)
	if failed, ok := errors.AsType[*ddbtypes.ConditionalCheckFailedException](err); ok {
		return nil, &cutover.LeaseHeld{Lease: leaseOf(failed.Item)}
	}
	if noTable(err) {
		return nil, c.noTable("take the lease")
	}
	if err != nil {
		return nil, trouble("take the lease in table "+c.table, err)
	}
	return &Held{control: c, lease: leaseOf(out.Attributes), ttl: want.Expires.Sub(now)}, nil
}

// Seize takes the lease from whoever holds it: rollback waits for nobody. A
// running shift sees the newer token and stops.
func (c *Control) Seize(ctx context.Context, want cutover.Lease, now time.Time) (*Held, error) {
	out, err := c.clients.DynamoDB(c.home).UpdateItem(ctx, c.leaseUpdate(want))
	if err != nil {
		return nil, trouble("seize the lease in table "+c.table, err)
	}
	return &Held{control: c, lease: leaseOf(out.Attributes), ttl: want.Expires.Sub(now)}, nil
}

func (c *Control) leaseUpdate(want cutover.Lease) *dynamodb.UpdateItemInput {
	return &dynamodb.UpdateItemInput{
		TableName: &c.table, Key: key(pkLease), ReturnValues: ddbtypes.ReturnValueAllNew,
		UpdateExpression:         aws.String("SET #owner = :owner, run_url = :url, purpose = :purpose, expires = :expires ADD fence :one"),
		ExpressionAttributeNames: map[string]string{"#owner": "owner"},
		ExpressionAttributeValues: map[string]ddbtypes.AttributeValue{
			":owner": text(want.Owner), ":url": text(want.RunURL), ":purpose": text(want.Purpose),
			":expires": number(want.Expires.UnixMilli()), ":one": number(1),
		},
	}
}

// Held is a lease this run holds: the journal of its shift.
type Held struct {
	control *Control
	lease   cutover.Lease
	ttl     time.Duration
	saved   string // the shift that is known to be the journal's newest
	saves   int64  // the number of the newest Save
	// Now tells the time a beat extends from.
	Now func() time.Time
}

// Lease is what was granted.
func (h *Held) Lease() cutover.Lease { return h.lease }

// Save implements cutover.Journal: the state is stored only while the lease's
// token is still this run's, checked in the same transaction, and only if no
// later Save of the same token was. The same one may arrive twice: the SDK sends
// it again where its reply was lost. A shift that it takes the place of, and
// that never ended, goes into the history with it.
func (h *Held) Save(ctx context.Context, s cutover.State) error {
	encoded, err := json.Marshal(s)
	if err != nil {
		return err
	}
	h.saves++
	fence, order := number(h.lease.Token), number(h.saves)
	item := key(pkShift)
	item[document], item["fence"], item["saves"] = text(string(encoded)), fence, order
	writes := []ddbtypes.TransactWriteItem{
		h.mine(),
		{Put: &ddbtypes.Put{
			TableName: &h.control.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(fence) OR fence <> :fence OR saves <= :saves"),
			ExpressionAttributeValues: map[string]ddbtypes.AttributeValue{":fence": fence, ":saves": order},
		}},
	}
	var ended []Past
	if s.Phase.Terminal() {
		ended = append(ended, Past{State: s, Owner: h.lease.Owner, RunURL: h.lease.RunURL})
	}
	if h.saved != s.ID {
		ended = append(ended, h.superseded(ctx, s)...)
	}
	for _, past := range ended {
		item, err := past.item()
		if err != nil {
			return err
		}
		writes = append(writes, ddbtypes.TransactWriteItem{Put: &ddbtypes.Put{TableName: &h.control.table, Item: item}})
	}
	if err = h.write(ctx, "write the journal to", writes); err == nil {
		h.saved = s.ID
	}
	return err
}

// PutTopology stores the topology while the lease's token is still this run's: a
// rollback that seized it went by the one before.
func (h *Held) PutTopology(ctx context.Context, t topology.Topology) error {
	item, err := topologyItem(t)
	if err != nil {
		return err
	}
	return h.write(ctx, "store the topology in", []ddbtypes.TransactWriteItem{h.mine(), {Put: &ddbtypes.Put{TableName: &h.control.table, Item: item}}})
}

// mine is the condition that the lease's token is still this run's, the first of
// what write writes.
func (h *Held) mine() ddbtypes.TransactWriteItem {
	return ddbtypes.TransactWriteItem{ConditionCheck: &ddbtypes.ConditionCheck{
		TableName: &h.control.table, Key: key(pkLease), ConditionExpression: aws.String("fence = :fence"),
		ExpressionAttributeValues: map[string]ddbtypes.AttributeValue{":fence": number(h.lease.Token)},
	}}
}

// write is one transaction; it fails with ErrFenced where mine does not hold.
func (h *Held) write(ctx context.Context, step string, writes []ddbtypes.TransactWriteItem) error {
	_, err := h.control.clients.DynamoDB(h.control.home).TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if cancelled, ok := errors.AsType[*ddbtypes.TransactionCanceledException](err); ok && fenced(cancelled) {
		return cutover.ErrFenced
	}
	return trouble(step+" table "+h.control.table, err)
}

// superseded is the shift that the journal has now, where it never ended: its
// runner was killed, or lost the lease and could write no end. Nobody but the
// holder of the lease writes there meanwhile.
func (h *Held) superseded(ctx context.Context, by cutover.State) []Past {
	look, cancel := untilHalf(ctx)
	defer cancel()
	out, err := h.control.clients.DynamoDB(h.control.home).GetItem(look, &dynamodb.GetItemInput{
		TableName: &h.control.table, Key: key(pkShift), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil // Non-fatal: the journal matters more than the history.
	}
	var s cutover.State
	encoded, _ := out.Item[document].(*ddbtypes.AttributeValueMemberS)
	if encoded == nil || json.Unmarshal([]byte(encoded.Value), &s) != nil || s.ID == by.ID || s.Phase.Terminal() {
		return nil
	}
	what := "superseded by " + by.ID + ", a " + h.lease.Purpose + " of " + h.lease.Owner + ", while " + string(s.Phase)
	if s.Reason != "" {
		what += ": " + s.Reason
	}
	s.Phase, s.Reason = cutover.Uncertain, what
	return []Past{{State: s, Owner: "unknown"}} // the lease names its new holder
}

// Past is a shift that ended, and who drove it last.
type Past struct {
	State  cutover.State `json:"state"`
	Owner  string        `json:"owner"`
	RunURL string        `json:"run_url,omitempty"`
}

func (p Past) item() (map[string]ddbtypes.AttributeValue, error) {
	encoded, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return map[string]ddbtypes.AttributeValue{"pk": text(pkHistory), "sk": text(p.State.ID), document: text(string(encoded))}, nil
}

// History reads the shifts that ended, the newest first, at most limit.
func (c *Control) History(ctx context.Context, limit int32) ([]Past, error) {
	items, err := func() ([]map[string]ddbtypes.AttributeValue, error) {
		home, cancel := untilHalf(ctx)
		defer cancel()
		return c.ended(home, c.home, limit)
	}()
	if err != nil {
		replica, replicaErr := c.ended(ctx, c.replica, limit)
		if replicaErr != nil {
			return nil, c.unread("read the history", err, replicaErr)
		}
		items = replica
	}
	var all []Past
	for _, item := range items {
		encoded, _ := item[document].(*ddbtypes.AttributeValueMemberS)
		var past Past
		if encoded == nil {
			continue
		}
		if err := json.Unmarshal([]byte(encoded.Value), &past); err != nil {
			return nil, fmt.Errorf("read the history from table %s: %w", c.table, err)
		}
		all = append(all, past)
	}
	return all, nil
}

// ended are the history's items in a region. One answer has 1 MB at most, some
// 250 shifts, however many were asked for.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
func (c *Control) ended(ctx context.Context, region string, limit int32) (items []map[string]ddbtypes.AttributeValue, err error) {
	in := &dynamodb.QueryInput{
		TableName: &c.table, KeyConditionExpression: aws.String("pk = :pk"), ScanIndexForward: aws.Bool(false), Limit: &limit,
		ExpressionAttributeValues: map[string]ddbtypes.AttributeValue{":pk": text(pkHistory)},
	}
	for {
		out, err := c.clients.DynamoDB(region).Query(ctx, in)
		if err != nil {
			return nil, err
		}
		items = append(items, out.Items...)
		left := limit - int32(len(items))
		if left <= 0 || len(out.LastEvaluatedKey) == 0 {
			return items, nil
		}
		in.Limit, in.ExclusiveStartKey = &left, out.LastEvaluatedKey
	}
}

func fenced(e *ddbtypes.TransactionCanceledException) bool {
	return len(e.CancellationReasons) > 0 && aws.ToString(e.CancellationReasons[0].Code) == "ConditionalCheckFailed"
}

// Beat implements cutover.Journal.
func (h *Held) Beat(ctx context.Context) error {
	return h.extend(ctx, h.Now().Add(h.ttl), "extend the lease")
}

// Release gives the lease up; its token stays, so that later ones are larger.
func (h *Held) Release(ctx context.Context) error {
	return h.extend(ctx, time.UnixMilli(0), "release the lease")
}

func (h *Held) extend(ctx context.Context, until time.Time, step string) error {
	_, err := h.control.clients.DynamoDB(h.control.home).UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &h.control.table, Key: key(pkLease),
		UpdateExpression: aws.String("SET expires = :expires"), ConditionExpression: aws.String("fence = :fence"),
		ExpressionAttributeValues: map[string]ddbtypes.AttributeValue{
			":expires": number(until.UnixMilli()), ":fence": number(h.lease.Token),
		},
	})
	if _, ok := errors.AsType[*ddbtypes.ConditionalCheckFailedException](err); ok {
		return cutover.ErrFenced
	}
	if noTable(err) {
		return h.control.noTable(step)
	}
	return trouble(step+" in table "+h.control.table, err)
}

var _ cutover.Journal = (*Held)(nil)
