package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// The documents of the bucket sub-resources. Their elements are those of AWS;
// an element that is not here is refused when a document is read.

const (
	enabled  = "Enabled"
	disabled = "Disabled"
)

// status is an element that only says Enabled or Disabled.
type status struct{ Status string }

func (s *status) on() bool { return s != nil && s.Status == enabled }

func (s *status) valid() bool { return s == nil || s.Status == enabled || s.Status == disabled }

type tag struct{ Key, Value string }

type tagSet struct{ Tag []tag }

// check holds the rules for tags.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
func (t tagSet) check(most int) error {
	seen := map[string]bool{}
	for _, one := range t.Tag {
		switch {
		case one.Key == "" || len(one.Key) > 128:
			return wire.Errorf(http.StatusBadRequest, "InvalidTag", "The TagKey you have provided is invalid")
		case len(one.Value) > 256:
			return wire.Errorf(http.StatusBadRequest, "InvalidTag", "The TagValue you have provided is invalid")
		case strings.HasPrefix(one.Key, "aws:"):
			return wire.Errorf(http.StatusBadRequest, "InvalidTag", "System tags cannot be added/updated by requester")
		case seen[one.Key]:
			return wire.Errorf(http.StatusBadRequest, "InvalidTag", "Cannot provide multiple Tags with the same key")
		}
		seen[one.Key] = true
	}
	if len(t.Tag) > most {
		return wire.Errorf(http.StatusBadRequest, "BadRequest", "Tags cannot be more than %d", most)
	}
	return nil
}

type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  tagSet
}

type versioningConfiguration struct {
	XMLName   xml.Name `xml:"VersioningConfiguration"`
	Status    string   `xml:",omitempty"`
	MfaDelete string   `xml:",omitempty"`
}

type encryptionConfiguration struct {
	XMLName xml.Name         `xml:"ServerSideEncryptionConfiguration"`
	Rules   []encryptionRule `xml:"Rule"`
}

type encryptionRule struct {
	Default struct {
		SSEAlgorithm   string
		KMSMasterKeyID string `xml:",omitempty"`
	} `xml:"ApplyServerSideEncryptionByDefault"`
	BucketKeyEnabled bool
}

// defaultEncryption is what every bucket has since January 2023.
func defaultEncryption() *encryptionConfiguration {
	c := &encryptionConfiguration{Rules: make([]encryptionRule, 1)}
	c.Rules[0].Default.SSEAlgorithm = sseS3
	return c
}

type websiteConfiguration struct {
	XMLName               xml.Name  `xml:"WebsiteConfiguration"`
	IndexDocument         *siteFile `xml:",omitempty"`
	ErrorDocument         *siteFile `xml:",omitempty"`
	RedirectAllRequestsTo *redirect `xml:",omitempty"`
}

type siteFile struct {
	Suffix string `xml:",omitempty"` // of the index
	Key    string `xml:",omitempty"` // of the error document
}

type redirect struct {
	HostName string
	Protocol string `xml:",omitempty"`
}

type publicAccessBlock struct {
	XMLName                                                                     xml.Name `xml:"PublicAccessBlockConfiguration"`
	BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets bool
}

type ownershipControls struct {
	XMLName xml.Name        `xml:"OwnershipControls"`
	Rules   []ownershipRule `xml:"Rule"`
}

type ownershipRule struct{ ObjectOwnership string }

func (c *ownershipControls) check() error {
	known := []string{"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}
	if len(c.Rules) != 1 || !slices.Contains(known, c.Rules[0].ObjectOwnership) {
		return malformedXML()
	}
	return nil
}

// lifecycle is kept and given back, never run.
type lifecycle struct {
	XMLName xml.Name        `xml:"LifecycleConfiguration"`
	Rules   []lifecycleRule `xml:"Rule"`
}

type lifecycleRule struct {
	ID         string           `xml:",omitempty"`
	Prefix     *string          `xml:",omitempty"`
	Filter     *lifecycleFilter `xml:",omitempty"`
	Status     string
	Expiration *struct {
		Days                      *int   `xml:",omitempty"`
		Date                      string `xml:",omitempty"`
		ExpiredObjectDeleteMarker *bool  `xml:",omitempty"`
	} `xml:",omitempty"`
	NoncurrentVersionExpiration *struct {
		NoncurrentDays          *int `xml:",omitempty"`
		NewerNoncurrentVersions *int `xml:",omitempty"`
	} `xml:",omitempty"`
	AbortIncompleteMultipartUpload *struct {
		DaysAfterInitiation *int `xml:",omitempty"`
	} `xml:",omitempty"`
	Transition []struct {
		Days         *int   `xml:",omitempty"`
		Date         string `xml:",omitempty"`
		StorageClass string
	}
	NoncurrentVersionTransition []struct {
		NoncurrentDays          *int `xml:",omitempty"`
		NewerNoncurrentVersions *int `xml:",omitempty"`
		StorageClass            string
	}
}

type lifecycleFilter struct {
	Prefix                *string `xml:",omitempty"`
	Tag                   *tag    `xml:",omitempty"`
	ObjectSizeGreaterThan *int64  `xml:",omitempty"`
	ObjectSizeLessThan    *int64  `xml:",omitempty"`
	And                   *struct {
		Prefix                *string `xml:",omitempty"`
		Tag                   []tag
		ObjectSizeGreaterThan *int64 `xml:",omitempty"`
		ObjectSizeLessThan    *int64 `xml:",omitempty"`
	} `xml:",omitempty"`
}

// check holds what is wrong most often.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
func (l *lifecycle) check() error {
	if len(l.Rules) == 0 || len(l.Rules) > 1000 {
		return malformedXML()
	}
	seen := map[string]bool{}
	for _, rule := range l.Rules {
		acts := rule.Expiration != nil || rule.NoncurrentVersionExpiration != nil || rule.AbortIncompleteMultipartUpload != nil || len(rule.Transition) > 0 || len(rule.NoncurrentVersionTransition) > 0
		switch {
		case !acts:
			return invalidRequest("At least one action needs to be specified in a rule")
		case rule.Status != enabled && rule.Status != disabled, rule.Filter == nil && rule.Prefix == nil, rule.Filter != nil && rule.Prefix != nil:
			return malformedXML()
		case seen[rule.ID] && rule.ID != "":
			return invalidArgument("Rule ID must be unique. Found same ID for more than one rule")
		}
		if e := rule.Expiration; e != nil && e.Days != nil && *e.Days < 1 {
			return invalidArgument("'Days' for Expiration action must be a positive integer")
		}
		seen[rule.ID] = true
	}
	return nil
}
