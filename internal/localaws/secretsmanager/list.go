package secretsmanager

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func (s *Service) listSecrets(ctx context.Context, in api.ListSecretsInput) (any, error) {
	call := wire.FromContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask(ctx, "ListSecrets", "*"); err != nil {
		return nil, err
	}
	s.settle(call.Now)
	var found []*secret
	for _, name := range slices.Sorted(maps.Keys(s.region(call.Region))) {
		x := s.region(call.Region)[name]
		if x.primary != nil && !x.visible || x.marked() && !aws.ToBool(in.IncludePlannedDeletion) {
			continue
		}
		matches, err := s.matches(call, x, in.Filters)
		if err != nil {
			return nil, err
		}
		if matches {
			found = append(found, x)
		}
	}
	if err := sorted(found, in.SortBy, in.SortOrder); err != nil {
		return nil, err
	}
	found, token, err := page(found, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := api.ListSecretsOutput{SecretList: []types.SecretListEntry{}, NextToken: token}
	for _, x := range found {
		out.SecretList = append(out.SecretList, types.SecretListEntry{
			ARN: &x.arn, Name: &x.name, Description: optional(x.content.description), KmsKeyId: optional(x.keyID), Tags: tagList(x.content.tags),
			CreatedDate: &x.created, LastChangedDate: &x.changed, LastAccessedDate: date(x.accessed), DeletedDate: date(x.deleteAt),
			SecretVersionsToStages: x.content.byVersion(), PrimaryRegion: x.primaryRegion(),
		})
	}
	return wire.EpochMembers(out), nil
}

// sorted orders by name or by a date, newest last unless asked otherwise.
func sorted(list []*secret, by types.SortByType, order types.SortOrderType) error {
	var compare func(a, b *secret) int
	switch by {
	case "", types.SortByTypeCreatedDate:
		compare = func(a, b *secret) int { return a.created.Compare(b.created) }
	case types.SortByTypeLastChangedDate:
		compare = func(a, b *secret) int { return a.changed.Compare(b.changed) }
	case types.SortByTypeLastAccessedDate:
		compare = func(a, b *secret) int { return a.accessed.Compare(b.accessed) }
	case types.SortByTypeName:
		compare = func(a, b *secret) int { return cmp.Compare(a.name, b.name) }
	default:
		return invalidParameter("Invalid SortBy %q.", by)
	}
	slices.SortStableFunc(list, compare)
	if order == types.SortOrderTypeDesc {
		slices.Reverse(list)
	}
	return nil
}

// matches tells whether a secret passes all filters; of one filter's values
// any may fit, by prefix, and "!" before a value denies it.
func (s *Service) matches(call wire.Call, x *secret, filters []types.Filter) (bool, error) {
	for _, f := range filters {
		var have []string
		switch f.Key {
		case types.FilterNameStringTypeName:
			have = []string{x.name}
		case types.FilterNameStringTypeDescription:
			have = []string{x.content.description}
		case types.FilterNameStringTypeTagKey:
			have = slices.Collect(maps.Keys(x.content.tags))
		case types.FilterNameStringTypeTagValue:
			have = slices.Collect(maps.Values(x.content.tags))
		case types.FilterNameStringTypePrimaryRegion:
			have = []string{aws.ToString(x.primaryRegion())}
		default:
			wire.Unknown(s.options.Log, call, "ListSecrets filter "+string(f.Key))
			return false, invalidParameter("the embedded AWS has no ListSecrets filter %q", f.Key)
		}
		fits := slices.ContainsFunc(f.Values, func(want string) bool {
			want, denied := strings.CutPrefix(want, "!")
			return denied != slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, want) })
		})
		if !fits {
			return false, nil
		}
	}
	return true, nil
}

// page cuts a list; a token is the position in it.
func page[T any](list []T, token *string, most *int32) (cut []T, next *string, err error) {
	from, size := 0, 100
	if token != nil {
		if from, err = strconv.Atoi(*token); err != nil || from < 0 || from > len(list) {
			return nil, nil, wire.Errorf(http.StatusBadRequest, "InvalidNextTokenException", "Invalid NextToken.")
		}
	}
	if most != nil {
		if size = int(*most); size < 1 || size > 100 {
			return nil, nil, invalidParameter("MaxResults must be between 1 and 100.")
		}
	}
	list = list[from:]
	if len(list) > size {
		return list[:size], aws.String(strconv.Itoa(from + size)), nil
	}
	return list, nil, nil
}

func (s *Service) listVersions(_ context.Context, _ wire.Call, x *secret, in api.ListSecretVersionIdsInput) (any, error) {
	out := api.ListSecretVersionIdsOutput{ARN: &x.arn, Name: &x.name}
	all := []types.SecretVersionsListEntry{}
	for _, v := range x.content.versions {
		labels := x.content.labels(v.id)
		if len(labels) == 0 && !aws.ToBool(in.IncludeDeprecated) {
			continue
		}
		key := x.keyID
		if s.ownKey(key) {
			key = "DefaultEncryptionKey"
		}
		all = append(all, types.SecretVersionsListEntry{VersionId: aws.String(v.id), VersionStages: labels, CreatedDate: aws.Time(v.created),
			LastAccessedDate: date(x.versionAccessed[v.id]), KmsKeyIds: []string{key}})
	}
	var err error
	out.Versions, out.NextToken, err = page(all, in.NextToken, in.MaxResults)
	return out, err
}
