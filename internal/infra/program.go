// Package infra is the Pulumi program, a file per concern, and the runner that
// drives it through the Automation API. It decides what exists; it never moves
// traffic: weights, canary percent and live versions are read from AWS first
// and given to it as inputs (docs/adr/0001: a value in state is not the live
// one), so that an update writes back what it found.
package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/tapctl/tapctl/internal/config"
)

// Artifact is one Lambda package on this machine.
type Artifact struct {
	Path    string // absolute: the engine resolves relative paths in its own workspace
	Version string // label the function answers with, derived from the content
}

// Input is what every program is given.
type Input struct {
	Config  config.Config
	Account string
	ZoneID  string
	Adopted Adopted
	// Unprotected is base on its way out: nothing of it is protected, and its
	// data goes with it.
	Unprotected bool
}

// Adopted is what exists already and is used as it is.
type Adopted struct {
	Table *AdoptedTable // nil: the base stack has its own
	// LoggingRole is the role that API Gateway's setting of a region names where
	// this stack has not made the setting; none where nobody has.
	LoggingRole map[string]string
}

// AdoptedTable is a table in the source region that somebody else owns.
type AdoptedTable struct {
	Name string
	ARN  string
	// KeyARN is the customer key it is encrypted with; "" where it is AWS's.
	KeyARN string
	// HasReplica tells that somebody else has put a replica into the target
	// region; false where there is none, or where it is this stack's.
	HasReplica bool
	// ReplicaKeyARN is the customer key of that replica; "" where it is AWS's.
	ReplicaKeyARN string
}

// Base is the outputs of the base stack that cells need, per region.
type Base struct {
	TableName      string
	ControlTable   string
	KeyARN         map[string]string // region -> customer key
	SecretARN      map[string]string // region -> the secret's own replica
	Bucket         map[string]string // region -> assets
	WebsiteURL     string            // "" where the bucket is adopted
	CertificateARN map[string]string // region -> validated certificate
}

// LiveCell is what a cell's traffic switches stand at. The zero value is a
// cell that does not exist yet.
type LiveCell struct {
	Exists        bool
	Fn            string // base value of the stage variable fn
	Canary        bool   // the stage has canary settings
	CanaryPercent float64
	LiveVersion   string // version behind the alias live
}

// LiveEdge is the weights the records stand at. The zero value is an edge that
// does not exist yet.
type LiveEdge struct {
	Exists      bool
	BlueWeight  int
	GreenWeight int
}

// StageName is the one stage of every cell.
const StageName = "prod"

// InitialCanary is the canary percent of a green cell that no DNS answer
// leads to yet: its own candidate can be probed and no user sees it.
const InitialCanary = 10

// tags are the three tags every resource carries.
func (in Input) tags(purpose string) pulumi.StringMap {
	return pulumi.ToStringMap(tagsOf(in.Config, purpose))
}

func tagsOf(c config.Config, purpose string) map[string]string {
	return map[string]string{"Owner": c.Owner, "Purpose": c.Purpose + ": " + purpose, "Environment": c.Environment}
}

// provider is an explicit provider for one region: a default provider would
// put a resource into whichever region the runner happens to be set to.
func (in Input) provider(ctx *pulumi.Context, region string) (pulumi.ProviderResource, error) {
	args := &aws.ProviderArgs{Region: pulumi.String(region)}
	if url := in.Config.AWS.EndpointURL; url != "" {
		endpoint := pulumi.String(url)
		args.Endpoints = aws.ProviderEndpointArray{aws.ProviderEndpointArgs{
			Acm: endpoint, Apigateway: endpoint, Cloudwatch: endpoint, Cloudwatchlogs: endpoint, Dynamodb: endpoint,
			Iam: endpoint, Kms: endpoint, Lambda: endpoint, Route53: endpoint, S3: endpoint, Secretsmanager: endpoint, Sts: endpoint,
		}}
		args.S3UsePathStyle = pulumi.Bool(true) // one address serves every bucket
		args.SkipMetadataApiCheck = pulumi.Bool(true)
		args.SkipRegionValidation = pulumi.Bool(true)
	}
	p, err := aws.NewProvider(ctx, region, args)
	if err != nil {
		return nil, fmt.Errorf("provider for %s: %w", region, err)
	}
	return p, nil
}

// providers are those of both regions, by region.
func (in Input) providers(ctx *pulumi.Context) (map[string]pulumi.ProviderResource, error) {
	all := map[string]pulumi.ProviderResource{}
	for _, region := range []string{in.Config.SourceRegion, in.Config.TargetRegion} {
		p, err := in.provider(ctx, region)
		if err != nil {
			return nil, err
		}
		all[region] = p
	}
	return all, nil
}

// steps runs the parts of a program until one fails.
func steps(parts ...func() error) error {
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// toStringMap is m as an input.
func toStringMap(m map[string]string) pulumi.StringMap {
	out := pulumi.StringMap{}
	for key, value := range m {
		out[key] = pulumi.String(value)
	}
	return out
}
