package awsapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"golang.org/x/sync/errgroup"

	"github.com/tapctl/tapctl/internal/cutover"
	"github.com/tapctl/tapctl/internal/topology"
)

// Traffic turns the dials of one topology.
type Traffic struct {
	clients  *Clients
	top      topology.Topology
	patience time.Duration // of one look, real time
}

// readPatience bounds one look at the dials. A region that does not answer
// must cost the caller seconds: it looks again anyway, and a retreat begins
// with a look.
const readPatience = 6 * time.Second

var _ cutover.Traffic = (*Traffic)(nil)

// NewTraffic returns the actuators of the topology.
func NewTraffic(c *Clients, t topology.Topology) *Traffic {
	return &Traffic{clients: c, top: t, patience: readPatience}
}

// Read implements cutover.Traffic: all parts are asked at once, and none waits
// for another or fails with it. Its error is *Unread: what it does not name was
// read.
func (t *Traffic) Read(ctx context.Context) (cutover.Setting, error) {
	var setting cutover.Setting
	var unread Unread
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	var asked sync.WaitGroup
	asked.Go(func() {
		var records []r53types.ResourceRecordSet
		if records, unread.DNS = t.clients.weighted(ctx, t.top.ZoneID, t.top.RecordName, t.top.RecordTypes); unread.DNS == nil {
			setting.DNS, unread.DNS = t.percent(records)
		}
	})
	asked.Go(func() {
		var stage *apigateway.GetStageOutput
		if stage, unread.Stage = t.stage(ctx); unread.Stage != nil {
			return
		}
		setting.Canary = canaryOf(stage)
		setting.Base, unread.Stage = t.base(stage.Variables["fn"])
	})
	for name, into := range map[string]struct {
		version *string
		err     *error
	}{"live": {&setting.LiveVersion, &unread.Live}, "next": {&setting.NextVersion, &unread.Next}} {
		asked.Go(func() {
			alias, err := t.alias(ctx, name)
			if *into.err = err; err == nil {
				*into.version = aws.ToString(alias.FunctionVersion)
			}
		})
	}
	asked.Wait()
	if unread.Unwrap() != nil {
		return setting, &unread
	}
	return setting, nil
}

func (t *Traffic) base(fn string) (cutover.Base, error) {
	switch fn {
	case t.top.Target.FnForwarder():
		return cutover.Forwarder, nil
	case t.top.Target.FnLive():
		return cutover.Live, nil
	default:
		return "", foreignf("read stage %s of %s: its variable fn is %q, which tapctl did not set", t.top.Target.Stage, t.top.Target.RestAPI, fn)
	}
}

func (t *Traffic) stage(ctx context.Context) (*apigateway.GetStageOutput, error) {
	out, err := t.clients.APIGateway(t.top.Target.Region).GetStage(ctx, &apigateway.GetStageInput{
		RestApiId: &t.top.Target.RestAPI, StageName: &t.top.Target.Stage,
	})
	return out, trouble("read stage "+t.top.Target.Stage+" in "+t.top.Target.Region, err)
}

func (t *Traffic) alias(ctx context.Context, name string) (*lambda.GetAliasOutput, error) {
	out, err := t.clients.Lambda(t.top.Target.Region).GetAlias(ctx, &lambda.GetAliasInput{
		FunctionName: &t.top.Target.APIFunction, Name: &name,
	})
	return out, trouble("read alias "+t.top.Target.APIFunction+":"+name, err)
}

// errNoRecords means that the weighted pair does not exist.
var errNoRecords = errors.New("no weighted records")

// weighted lists the weighted records of the name, of every given type.
func (c *Clients) weighted(ctx context.Context, zoneID, name string, kinds []string) ([]r53types.ResourceRecordSet, error) {
	var found []r53types.ResourceRecordSet
	for _, kind := range kinds {
		out, err := c.Route53().ListResourceRecordSets(ctx, &route53.ListResourceRecordSetsInput{
			HostedZoneId: &zoneID, StartRecordName: &name, StartRecordType: r53types.RRType(kind), MaxItems: aws.Int32(10),
		})
		if err != nil {
			return nil, trouble("list records of "+name, err)
		}
		for _, record := range out.ResourceRecordSets {
			if strings.TrimSuffix(aws.ToString(record.Name), ".") == name && string(record.Type) == kind && record.Weight != nil {
				found = append(found, record)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("list records of %s: %w", name, errNoRecords)
	}
	return found, nil
}

// pairs splits the records by type into blue and green, and refuses where one is
// missing. Only a retired blue may be; its weight is then nil.
func (t *Traffic) pairs(records []r53types.ResourceRecordSet) (map[r53types.RRType][2]r53types.ResourceRecordSet, error) {
	pairs := map[r53types.RRType][2]r53types.ResourceRecordSet{}
	for _, record := range records {
		pair := pairs[record.Type]
		switch aws.ToString(record.SetIdentifier) {
		case t.top.Source.SetID:
			pair[0] = record
		case t.top.Target.SetID:
			pair[1] = record
		}
		pairs[record.Type] = pair
	}
	for _, kind := range t.top.RecordTypes {
		pair := pairs[r53types.RRType(kind)]
		if pair[1].Weight == nil || pair[0].Weight == nil && !t.top.Retired {
			return nil, foreignf("records of %s: the %s pair lacks %s or %s", t.top.RecordName, kind, t.top.Source.SetID, t.top.Target.SetID)
		}
	}
	return pairs, nil
}

// stranger refuses a third record of the name, which takes a share of the
// answers that no dial shows.
func (t *Traffic) stranger(records []r53types.ResourceRecordSet) error {
	for _, record := range records {
		if id := aws.ToString(record.SetIdentifier); id != t.top.Source.SetID && id != t.top.Target.SetID {
			return foreignf("records of %s: unexpected member %q", t.top.RecordName, id)
		}
	}
	return nil
}

func foreignf(format string, args ...any) error {
	return &cutover.Foreign{What: fmt.Sprintf(format, args...)}
}

// percent is green's share. Two zero weights are an even split, as Route 53
// answers them, and a record that is alone is every answer.
func (t *Traffic) percent(records []r53types.ResourceRecordSet) (cutover.Percent, error) {
	if err := t.stranger(records); err != nil {
		return 0, err
	}
	pairs, err := t.pairs(records)
	if err != nil {
		return 0, err
	}
	share := cutover.Percent(-1)
	for kind, pair := range pairs {
		blue, green := aws.ToInt64(pair[0].Weight), aws.ToInt64(pair[1].Weight)
		p := cutover.Percent(50)
		switch {
		case pair[0].Weight == nil:
			p = 100
		case blue+green > 0:
			p = cutover.Percent(100*green) / cutover.Percent(blue+green)
		}
		if share >= 0 && share != p {
			return 0, foreignf("records of %s: A and AAAA disagree (%s gives green %v%%, the other %v%%)", t.top.RecordName, kind, p, share)
		}
		share = p
	}
	return share, nil
}

// SetDNS implements cutover.Traffic. The batch deletes the records as they
// were read and creates them anew: Route 53 refuses a DELETE whose values no
// longer match, so a stale writer cannot land.
func (t *Traffic) SetDNS(ctx context.Context, from, to cutover.Percent) (string, error) {
	step := fmt.Sprintf("set weights of %s to green %v%%", t.top.RecordName, to)
	records, err := t.clients.weighted(ctx, t.top.ZoneID, t.top.RecordName, t.top.RecordTypes)
	if err != nil {
		return "", err
	}
	live, err := t.percent(records)
	if err != nil {
		return "", err
	}
	if live != from {
		return "", fmt.Errorf("%s: green stands at %v%%, not at %v%% as before", step, live, from)
	}
	changes, err := t.batch(records, to, func(old, updated r53types.ResourceRecordSet) []r53types.Change {
		return []r53types.Change{
			{Action: r53types.ChangeActionDelete, ResourceRecordSet: &old},
			{Action: r53types.ChangeActionCreate, ResourceRecordSet: &updated},
		}
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", step, err)
	}
	return t.send(ctx, step, changes)
}

// batch makes the changes that put every record of every type at its weight,
// none where all stand there. A record that stands at its weight goes along
// with its pair, so that the batch decides about both. Only the weight
// changes: an UPSERT without the health check would detach it.
func (t *Traffic) batch(records []r53types.ResourceRecordSet, to cutover.Percent, change func(old, updated r53types.ResourceRecordSet) []r53types.Change) ([]r53types.Change, error) {
	if to < 0 || to > 100 || to != cutover.Percent(math.Trunc(float64(to))) {
		return nil, fmt.Errorf("green at %v%% is not a whole percent of 0..100", to)
	}
	pairs, err := t.pairs(records)
	if err != nil {
		return nil, err
	}
	if t.top.Retired {
		if to == 100 {
			return nil, nil
		}
		return nil, fmt.Errorf("green at %v%% would send users to blue, which is retired", to)
	}
	var changes []r53types.Change
	moved := false
	for _, kind := range t.top.RecordTypes {
		pair := pairs[r53types.RRType(kind)]
		for side, weight := range []int64{100 - int64(to), int64(to)} {
			moved = moved || aws.ToInt64(pair[side].Weight) != weight
			updated := pair[side]
			updated.Weight = aws.Int64(weight)
			changes = append(changes, change(pair[side], updated)...)
		}
	}
	if !moved {
		return nil, nil
	}
	return changes, nil
}

func (t *Traffic) send(ctx context.Context, step string, changes []r53types.Change) (string, error) {
	if len(changes) == 0 {
		return "", nil
	}
	out, err := t.clients.Route53().ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &t.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Comment: aws.String("tapctl"), Changes: changes},
	})
	if refused, ok := errors.AsType[*r53types.InvalidChangeBatch](err); ok && len(refused.Messages) > 0 {
		// The SDK's own text leaves out what was wrong with the batch.
		err = fmt.Errorf("%s: %w", strings.Join(refused.Messages, "; "), err)
	}
	if err != nil {
		return "", trouble(step, err)
	}
	return strings.TrimPrefix(aws.ToString(out.ChangeInfo.Id), "/change/"), nil
}

// InSync implements cutover.Traffic.
func (t *Traffic) InSync(ctx context.Context, change string) (bool, error) {
	out, err := t.clients.Route53().GetChange(ctx, &route53.GetChangeInput{Id: &change})
	if err != nil {
		return false, trouble("ask for change "+change, err)
	}
	return out.ChangeInfo.Status == r53types.ChangeStatusInsync, nil
}

// SetCanary implements cutover.Traffic.
func (t *Traffic) SetCanary(ctx context.Context, from, to cutover.Percent) error {
	step := fmt.Sprintf("set canary of stage %s to %v%%", t.top.Target.Stage, to)
	stage, err := t.stage(ctx)
	if err != nil {
		return err
	}
	patches := []apitypes.PatchOperation{replace("/canarySettings/percentTraffic", formatPercent(to))}
	switch {
	case stage.CanarySettings == nil && from != 0:
		return fmt.Errorf("%s: the stage has no canary, it had %v%% before", step, from)
	case stage.CanarySettings != nil && cutover.Percent(stage.CanarySettings.PercentTraffic) != from:
		return fmt.Errorf("%s: it stands at %v%%, not at %v%% as before", step, stage.CanarySettings.PercentTraffic, from)
	case stage.CanarySettings == nil || stage.CanarySettings.StageVariableOverrides["fn"] != t.top.Target.FnNext():
		// API Gateway would make a canary of the stage's own deployment and
		// variables, which looks healthy because it is the old code.
		patches = append(patches, replace("/canarySettings/stageVariableOverrides/fn", t.top.Target.FnNext()))
	}
	return t.patch(ctx, step, patches)
}

// Promote implements cutover.Traffic: the candidate becomes live, then the base
// side becomes live, then the canary goes, a call each. Live answers before the
// canary stops, so no request is without a function.
func (t *Traffic) Promote(ctx context.Context, from, to cutover.Setting) error {
	if from.LiveVersion != to.LiveVersion {
		return t.promoteAlias(ctx, from.LiveVersion, to.LiveVersion)
	}
	step := "promote stage " + t.top.Target.Stage
	patch := replace("/variables/fn", t.top.Target.FnLive())
	if from.Base == to.Base {
		step, patch = "remove the canary of stage "+t.top.Target.Stage, apitypes.PatchOperation{Op: apitypes.OpRemove, Path: aws.String("/canarySettings")}
	}
	stage, err := t.stage(ctx)
	if err != nil {
		return err
	}
	base, err := t.base(stage.Variables["fn"])
	if err != nil {
		return err
	}
	if canary := canaryOf(stage); base != from.Base || canary != from.Canary {
		return fmt.Errorf("%s: it stands at base %s, canary %v%%, not at %s, %v%% as before", step, base, canary, from.Base, from.Canary)
	}
	return t.patch(ctx, step, []apitypes.PatchOperation{patch})
}

// promoteAlias points live at the candidate that was watched, and at no other,
// guarded by the revision of what stood there before.
func (t *Traffic) promoteAlias(ctx context.Context, from, to string) error {
	step := "promote version " + to
	next, err := t.alias(ctx, "next")
	if err != nil {
		return err
	}
	live, err := t.alias(ctx, "live")
	if err != nil {
		return err
	}
	if version := aws.ToString(next.FunctionVersion); version != to {
		return fmt.Errorf("%s: the candidate is version %s now", step, version)
	}
	if version := aws.ToString(live.FunctionVersion); version != from {
		return fmt.Errorf("%s: live stands at version %s, not at %s as before", step, version, from)
	}
	return t.updateLive(ctx, to, live.RevisionId)
}

// canaryOf is the percent of the stage's canary, 0 where it has none.
func canaryOf(stage *apigateway.GetStageOutput) cutover.Percent {
	if stage.CanarySettings == nil {
		return 0
	}
	return cutover.Percent(stage.CanarySettings.PercentTraffic)
}

func (t *Traffic) updateLive(ctx context.Context, version string, revision *string) error {
	_, err := t.clients.Lambda(t.top.Target.Region).UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: &t.top.Target.APIFunction, Name: aws.String("live"), FunctionVersion: &version, RevisionId: revision,
	})
	return trouble("point alias "+t.top.Target.FnLive()+" at version "+version, err)
}

// Retreat implements cutover.Traffic: the stage, the alias and the records go
// back at the same time, and the failure of one does not hold up the others.
func (t *Traffic) Retreat(ctx context.Context, to cutover.Setting) (string, error) {
	var change string
	var stageErr, aliasErr, dnsErr error
	var group errgroup.Group // no shared context: no part cancels another
	group.Go(func() error {
		stageErr = t.retreatStage(ctx, to)
		return nil
	})
	group.Go(func() error {
		if to.LiveVersion != "" {
			aliasErr = t.retreatAlias(ctx, to.LiveVersion)
		}
		return nil
	})
	group.Go(func() error {
		change, dnsErr = t.retreatDNS(ctx, to)
		return nil
	})
	_ = group.Wait() // the parts keep their own errors
	return change, errors.Join(stageErr, aliasErr, dnsErr)
}

// retreatStage patches what stands elsewhere, and both dials where the stage
// cannot be read: it may still take a write. At 0 percent even a canary that is
// made by that serves nobody.
func (t *Traffic) retreatStage(ctx context.Context, to cutover.Setting) error {
	look, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	stage, readErr := t.stage(look)
	unread := readErr != nil
	var patches []apitypes.PatchOperation
	if unread || stage.CanarySettings != nil && stage.CanarySettings.PercentTraffic != float64(to.Canary) {
		patches = append(patches, replace("/canarySettings/percentTraffic", formatPercent(to.Canary)))
	}
	fn := t.top.Target.FnForwarder()
	if to.Base == cutover.Live {
		fn = t.top.Target.FnLive()
	}
	if unread || stage.Variables["fn"] != fn {
		patches = append(patches, replace("/variables/fn", fn))
	}
	if len(patches) == 0 {
		return nil
	}
	if err := t.patch(ctx, "send stage "+t.top.Target.Stage+" back", patches); err != nil {
		return errors.Join(readErr, err)
	}
	return nil
}

// retreatAlias points the alias live at the version: guarded by its revision
// where that can be read, and whatever stands there otherwise.
func (t *Traffic) retreatAlias(ctx context.Context, version string) error {
	look, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	live, readErr := t.alias(look, "live")
	var revision *string
	if readErr == nil {
		if aws.ToString(live.FunctionVersion) == version {
			return nil
		}
		revision = live.RevisionId
	}
	if err := t.updateLive(ctx, version, revision); err != nil {
		return errors.Join(readErr, err)
	}
	return nil
}

// retreatDNS is an UPSERT: going back must land whoever wrote last, and whoever
// else has put a record beside the pair.
func (t *Traffic) retreatDNS(ctx context.Context, to cutover.Setting) (string, error) {
	records, err := t.clients.weighted(ctx, t.top.ZoneID, t.top.RecordName, t.top.RecordTypes)
	if err != nil {
		return "", err
	}
	changes, err := t.batch(records, to.DNS, func(_, updated r53types.ResourceRecordSet) []r53types.Change {
		return []r53types.Change{{Action: r53types.ChangeActionUpsert, ResourceRecordSet: &updated}}
	})
	if err != nil {
		return "", err
	}
	return t.send(ctx, fmt.Sprintf("send weights of %s back to green %v%%", t.top.RecordName, to.DNS), changes)
}

func (t *Traffic) patch(ctx context.Context, step string, patches []apitypes.PatchOperation) error {
	_, err := t.clients.APIGateway(t.top.Target.Region).UpdateStage(ctx, &apigateway.UpdateStageInput{
		RestApiId: &t.top.Target.RestAPI, StageName: &t.top.Target.Stage, PatchOperations: patches,
	})
	return trouble(step, err)
}

// replace is the only operation API Gateway takes on canary settings; add is
// refused.
func replace(path, value string) apitypes.PatchOperation {
	return apitypes.PatchOperation{Op: apitypes.OpReplace, Path: &path, Value: &value}
}

func formatPercent(p cutover.Percent) string { return strconv.FormatFloat(float64(p), 'f', -1, 64) }

// Topology is what the dials belong to.
func (t *Traffic) Topology() topology.Topology { return t.top }
