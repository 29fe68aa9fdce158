package config

import (
	"fmt"
	"strings"
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

// Limits of the names above.
// Lambda: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
// IAM: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
// DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	functionNameMax = 64
	roleNameMax     = 64
	tableNameMax    = 255
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
		limit(c.RegionalName("forward", region), roleNameMax, fmt.Sprintf("the forwarder's role in %s", region))
	}
}
