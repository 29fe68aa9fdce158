package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Name is <TeamName>-<Environment>-<ServiceName>, the name of every resource;
// regional resources whose names are global to the account end in the region.
func (c Config) Name(service string) string {
	return c.TeamName + "-" + c.Environment + "-" + service
}

// RegionalName is Name with the region at its end, for names that IAM shares
// between regions.
func (c Config) RegionalName(service, region string) string {
	return c.Name(service) + "-" + region
}

// StackPrefix starts the names of the Pulumi stacks: <team>-<env>.
func (c Config) StackPrefix() string {
	return strings.ToLower(c.TeamName + "-" + c.Environment)
}

// ProbeName is the name that leads to one region only, for probes and health
// checks: a health check on the weighted name would check whichever side DNS
// picked.
func (c Config) ProbeName(region string) string {
	return region + "." + c.Domain.Name
}

// BucketName is the name of the assets bucket in the region. Bucket names are
// lower case and one for all of AWS, hence the region and the account's hash.
func (c Config) BucketName(region, account string) string {
	hash := sha256.Sum256([]byte(account))
	return strings.ToLower(c.RegionalName("assets", region)) + "-" + hex.EncodeToString(hash[:])[:bucketHash]
}

// killRegions are tried in this order: the first that the migration does not
// touch. us-east-1 comes last, where Route 53's own control plane is.
var killRegions = []string{"us-west-2", "eu-north-1", "ap-southeast-2", "us-east-1"}

// KillRegion is where the alarm behind the operator's switch is.
func (c Config) KillRegion() string {
	if c.Brake.KillRegion != "" {
		return c.Brake.KillRegion
	}
	return killRegions[slices.IndexFunc(killRegions, func(r string) bool { return r != c.SourceRegion && r != c.TargetRegion })]
}

// RecordTypes are the types of the weighted records, turned together.
func (c Config) RecordTypes() []string {
	if c.Domain.Dualstack {
		return []string{"A", "AAAA"}
	}
	return []string{"A"}
}

// Limits of the names above.
// Lambda: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
// IAM: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
// S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
// DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	functionNameMax = 64
	roleNameMax     = 64
	tableNameMax    = 255
	bucketNameMax   = 63
	bucketHash      = 8
)

func (c Config) checkNames(k *checker) {
	value := c.TeamName + "-" + c.Environment
	limit := func(name string, maximum int, what string) {
		if len(name) > maximum {
			k.add("team_name", value, "%s would be named %s: %d characters, AWS allows %d", what, name, len(name), maximum)
		}
	}
	limit(c.Name("forward"), functionNameMax, "the forwarder function")
	limit(c.Name("control"), tableNameMax, "the control table")
	for _, region := range []string{c.SourceRegion, c.TargetRegion} {
		limit(c.BucketName(region, ""), bucketNameMax, "the assets bucket in "+region)
		limit(c.RegionalName("forward", region), roleNameMax, fmt.Sprintf("the forwarder's role in %s", region))
	}
}

// EvidenceSilent is how long no request may be seen: at least two polls, since
// where there are no users the probes of each look are all there is.
func (c Config) EvidenceSilent() time.Duration { return max(c.Evidence.Silent, 2*c.Shift.Poll) }
