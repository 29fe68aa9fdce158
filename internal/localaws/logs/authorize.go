package logs

import (
	"context"
	"net/http"
	"slices"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// onTags are the operations whose resource is the group's ARN as it is, beside
// StartLiveTail, which names its groups by ARN. All
// others are asked for a stream of the group, that of no name where they name
// none, which is why policies end in ":*".
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
var onTags = []string{"TagResource", "UntagResource", "ListTagsForResource"}

func groupARN(region, name string) string {
	return "arn:aws:logs:" + region + ":" + wire.Account + ":log-group:" + name
}

// authorize asks for an operation, and for the key that it puts a group under.
func (s *Service) authorize(ctx context.Context, operation string, in input) error {
	call := wire.FromContext(ctx)
	group := groupARN(call.Region, in.groupName())
	resources := in.LogGroupIdentifiers // StartLiveTail's: the groups, by ARN
	if resources == nil {
		resource := group
		if !slices.Contains(onTags, operation) {
			resource += ":log-stream:" + in.LogStreamName
		}
		resources = []string{resource}
	}
	for _, resource := range resources {
		if s.options.Authorize == nil {
			break
		}
		if err := s.options.Authorize(ctx, wire.Ask{AccessKeyID: call.AccessKeyID, Action: "logs:" + operation, Resource: resource}); err != nil {
			return err
		}
	}
	if in.KMSKeyID == "" || s.options.KeyAuthorize == nil {
		return nil
	}
	// What the service needs of the key, to encrypt and to read.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
	for _, action := range []string{"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey"} {
		ask := wire.Ask{Action: "kms:" + action, Resource: in.KMSKeyID, Keys: map[string][]string{"kms:encryptioncontext:aws:logs:arn": {group}}}
		if err := s.options.KeyAuthorize(ctx, call.Region, ask); err != nil {
			return wire.Errorf(http.StatusBadRequest, "AccessDeniedException", "The specified KMS key does not exist or is not allowed to be used with LogGroup '%s'", group)
		}
	}
	return nil
}
