package logs

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// input is the members of all operations: each reads its own. Times are
// milliseconds since the epoch.
type input struct {
	LogGroupName        string            `json:"logGroupName"`
	LogGroupIdentifier  string            `json:"logGroupIdentifier"`
	LogGroupNamePrefix  string            `json:"logGroupNamePrefix"`
	LogGroupNamePattern string            `json:"logGroupNamePattern"`
	LogGroupClass       string            `json:"logGroupClass"`
	LogStreamName       string            `json:"logStreamName"`
	LogStreamNames      []string          `json:"logStreamNames"`
	LogStreamNamePrefix string            `json:"logStreamNamePrefix"`
	KMSKeyID            string            `json:"kmsKeyId"`
	RetentionInDays     int               `json:"retentionInDays"`
	Tags                map[string]string `json:"tags"`
	TagKeys             []string          `json:"tagKeys"`
	ResourceARN         string            `json:"resourceArn"`
	LogEvents           []inputEvent      `json:"logEvents"`
	StartTime           int64             `json:"startTime"`
	EndTime             int64             `json:"endTime"`
	FilterPattern       string            `json:"filterPattern"`
	NextToken           string            `json:"nextToken"`
	Limit               int               `json:"limit"`

	LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
	LogEventFilterPattern string   `json:"logEventFilterPattern"`
	LogStreamNamePrefixes []string `json:"logStreamNamePrefixes"`
}

type inputEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

type output map[string]any

// operation serves one operation on a decoded input.
type operation func(ctx context.Context, in input) (any, error)

// Handler serves the JSON 1.1 API.
func (s *Service) Handler() http.Handler {
	operations := map[string]wire.Operation{}
	for name, serve := range map[string]operation{
		"CreateLogGroup": s.createLogGroup, "DeleteLogGroup": s.deleteLogGroup, "DescribeLogGroups": s.describeLogGroups,
		"PutRetentionPolicy": s.onGroup(putRetention), "DeleteRetentionPolicy": s.onGroup(deleteRetention),
		"AssociateKmsKey": s.onGroup(associateKey), "DisassociateKmsKey": s.onGroup(disassociateKey),
		"TagResource": s.onGroup(addTags), "UntagResource": s.onGroup(removeTags), "ListTagsForResource": s.onGroup(listTags),
		"CreateLogStream": s.onGroup(createStream), "DescribeLogStreams": s.onGroup(describeStreams),
		"PutLogEvents": s.onGroup(s.putEvents), "GetLogEvents": s.onGroup(getEvents), "FilterLogEvents": s.filterEvents,
		"StartLiveTail": s.startLiveTail,
	} {
		operations[name] = wire.Op(func(ctx context.Context, in input) (any, error) {
			if err := s.authorize(ctx, name, in); err != nil {
				return nil, err
			}
			return serve(ctx, in)
		})
	}
	return wire.JSONTarget(s.options.Log, "1.1", operations)
}

// groupName is the group that an input names: by name, by identifier (name or
// ARN) or by the ARN of a tagged resource.
func (in input) groupName() string {
	name := in.LogGroupName
	for _, arn := range []string{in.LogGroupIdentifier, in.ResourceARN} {
		if name == "" {
			name = arn
		}
	}
	if _, after, isARN := strings.Cut(name, ":log-group:"); isARN {
		name = strings.TrimSuffix(after, ":*")
	}
	return name
}

// onGroup makes an operation of a function on one group.
func (s *Service) onGroup(serve func(now time.Time, g *group, in input) (output, error)) operation {
	return func(ctx context.Context, in input) (any, error) {
		call := wire.FromContext(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		g, err := s.find(call.Region, in.groupName())
		if err != nil {
			return nil, err
		}
		out, err := serve(call.Now, g, in)
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}
}

func (s *Service) createLogGroup(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	return nil, s.CreateGroup(call.Now, call.Region, in.LogGroupName, in.KMSKeyID, in.LogGroupClass, in.Tags)
}

func (s *Service) deleteLogGroup(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(call.Region, in.LogGroupName); err != nil {
		return nil, err
	}
	delete(s.groups, groupKey{call.Region, in.LogGroupName})
	return nil, nil
}

// page size of DescribeLogGroups, AWS's own maximum.
const groupsPerPage = 50

func (s *Service) describeLogGroups(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for key := range s.groups {
		if key.region == call.Region && strings.HasPrefix(key.name, in.LogGroupNamePrefix) && strings.Contains(key.name, in.LogGroupNamePattern) && key.name > in.NextToken {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	limit := in.Limit
	if limit == 0 || limit > groupsPerPage {
		limit = groupsPerPage
	}
	out := output{}
	if len(names) > limit {
		names = names[:limit]
		out["nextToken"] = names[limit-1]
	}
	groups := []output{}
	for _, name := range names {
		groups = append(groups, s.groups[groupKey{call.Region, name}].describe(name))
	}
	out["logGroups"] = groups
	return out, nil
}

func (g *group) describe(name string) output {
	bytes := 0
	for _, e := range g.events {
		bytes += len(e.message) + eventOverhead
	}
	out := output{
		"logGroupName": name, "arn": g.arn + ":*", "logGroupArn": g.arn, "creationTime": g.created.UnixMilli(),
		"storedBytes": bytes, "metricFilterCount": 0, "logGroupClass": g.class,
	}
	if g.retention > 0 {
		out["retentionInDays"] = g.retention
	}
	if g.kmsKey != "" {
		out["kmsKeyId"] = g.kmsKey
	}
	return out
}

func putRetention(_ time.Time, g *group, in input) (output, error) {
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", in.RetentionInDays, retentions)
	}
	g.retention = in.RetentionInDays
	return nil, nil
}

func deleteRetention(_ time.Time, g *group, _ input) (output, error) {
	g.retention = 0
	return nil, nil
}

func associateKey(_ time.Time, g *group, in input) (output, error) {
	g.kmsKey = in.KMSKeyID
	return nil, nil
}

func disassociateKey(_ time.Time, g *group, _ input) (output, error) {
	g.kmsKey = ""
	return nil, nil
}

func addTags(_ time.Time, g *group, in input) (output, error) {
	maps.Copy(g.tags, in.Tags)
	return nil, nil
}

func removeTags(_ time.Time, g *group, in input) (output, error) {
	for _, key := range in.TagKeys {
		delete(g.tags, key)
	}
	return nil, nil
}

func listTags(_ time.Time, g *group, _ input) (output, error) {
	return output{"tags": maps.Clone(g.tags)}, nil
}

func createStream(now time.Time, g *group, in input) (output, error) {
	if in.LogStreamName == "" || strings.ContainsAny(in.LogStreamName, ":*") {
		return nil, invalid("1 validation error detected: Value '%s' at 'logStreamName' failed to satisfy constraint", in.LogStreamName)
	}
	if _, exists := g.streams[in.LogStreamName]; exists {
		return nil, wire.Errorf(http.StatusBadRequest, "ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	g.streams[in.LogStreamName] = &stream{created: now}
	return nil, nil
}

func describeStreams(_ time.Time, g *group, in input) (output, error) {
	streams := []output{}
	for _, name := range slices.Sorted(maps.Keys(g.streams)) {
		if !strings.HasPrefix(name, in.LogStreamNamePrefix) {
			continue
		}
		st := g.streams[name]
		out := output{"logStreamName": name, "arn": g.arn + ":log-stream:" + name, "creationTime": st.created.UnixMilli(), "storedBytes": 0}
		if !st.first.IsZero() {
			out["firstEventTimestamp"], out["lastEventTimestamp"], out["lastIngestionTime"] = st.first.UnixMilli(), st.last.UnixMilli(), st.ingested.UnixMilli()
		}
		streams = append(streams, out)
	}
	return output{"logStreams": streams}, nil
}

func (s *Service) putEvents(now time.Time, g *group, in input) (output, error) {
	if _, exists := g.streams[in.LogStreamName]; !exists {
		return nil, notFound("log stream")
	}
	if len(in.LogEvents) == 0 {
		return nil, invalid("1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	if !slices.IsSortedFunc(in.LogEvents, func(a, b inputEvent) int { return int(a.Timestamp - b.Timestamp) }) {
		return nil, invalid("Log events in a single PutLogEvents request must be in chronological order.")
	}
	for _, e := range in.LogEvents {
		s.put(g, in.LogStreamName, time.UnixMilli(e.Timestamp).UTC(), now, e.Message)
	}
	return output{"nextSequenceToken": strconv.FormatUint(g.serial, 10)}, nil
}

// eventsPerPage is AWS's own maximum.
const eventsPerPage = 10_000

func (in input) selection(now time.Time) (sel selection, after uint64, limit int, err error) {
	sel.now = now
	if in.StartTime > 0 {
		sel.start = time.UnixMilli(in.StartTime)
	}
	if in.EndTime > 0 {
		sel.end = time.UnixMilli(in.EndTime)
	}
	if in.NextToken != "" {
		if after, err = strconv.ParseUint(in.NextToken, 10, 64); err != nil {
			return sel, 0, 0, invalid("The specified nextToken is invalid.")
		}
	}
	limit = in.Limit
	if limit == 0 || limit > eventsPerPage {
		limit = eventsPerPage
	}
	return sel, after, limit, nil
}

func (e event) output() output {
	return output{
		"eventId": strconv.FormatUint(e.id, 10), "logStreamName": e.stream, "timestamp": e.at.UnixMilli(),
		"ingestionTime": e.ingested.UnixMilli(), "message": e.message,
	}
}

// getEvents reads from the head, whatever startFromHead says: every reader here
// wants the oldest first.
func getEvents(now time.Time, g *group, in input) (output, error) {
	if _, exists := g.streams[in.LogStreamName]; !exists {
		return nil, notFound("log stream")
	}
	sel, after, limit, err := in.selection(now)
	if err != nil {
		return nil, err
	}
	sel.streams = []string{in.LogStreamName}
	events, next := g.page(sel, after, limit)
	list := []output{}
	for _, e := range events {
		list = append(list, e.output())
		after = e.id
	}
	if next == 0 {
		next = after
	}
	// At the end AWS answers the token it was asked with.
	token := strconv.FormatUint(next, 10)
	return output{"events": list, "nextForwardToken": token, "nextBackwardToken": token}, nil
}

// filtersPerSecond is the quota of FilterLogEvents in an account and region,
// which AWS raises for nobody.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
const filtersPerSecond = 5

func (s *Service) filterEvents(ctx context.Context, in input) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	if s.filters[call.Region] == nil {
		s.filters[call.Region] = rate.NewLimiter(filtersPerSecond, filtersPerSecond)
	}
	quota := s.filters[call.Region]
	s.mu.Unlock()
	if !quota.AllowN(call.Now, 1) {
		return nil, wire.Errorf(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
	}
	thin := s.options.Thin != nil && s.options.Thin()
	if thin && in.NextToken == "" {
		return output{"events": []output{}, "searchedLogStreams": []output{}, "nextToken": "0"}, nil
	}
	return s.onGroup(func(now time.Time, g *group, in input) (output, error) { return g.filter(now, in, thin) })(ctx, in)
}

// thinPage is what a short page has of a full one.
const thinPage = 3

func (g *group) filter(now time.Time, in input, thin bool) (output, error) {
	sel, after, limit, err := in.selection(now)
	if err != nil {
		return nil, err
	}
	if sel.match, err = compile(in.FilterPattern); err != nil {
		return nil, err
	}
	sel.streams, sel.prefix = in.LogStreamNames, in.LogStreamNamePrefix
	if thin {
		limit = max(1, limit/thinPage)
	}
	events, next := g.page(sel, after, limit)
	list := []output{}
	for _, e := range events {
		list = append(list, e.output())
	}
	out := output{"events": list, "searchedLogStreams": []output{}}
	if next != 0 {
		out["nextToken"] = strconv.FormatUint(next, 10)
	}
	return out, nil
}
