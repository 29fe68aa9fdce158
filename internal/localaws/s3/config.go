package s3

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// subresource is a document a bucket keeps under a query parameter.
type subresource struct {
	root           string // of the document
	get, put       string // actions; put "" is read-only here
	missing        *wire.Error
	blank          func() any                                       // where to decode to
	check          func(s *Service, r *request, document any) error // of what is put
	standard       func() any                                       // after a delete; nil: nothing
	deletable      bool
	deleteAction   string // default: put
	statusOfPut    int    // default: 200
	headersOfGet   http.Header
	answersMissing bool // with an empty document, not with an error
}

func lacks(code, message string) *wire.Error {
	return wire.Errorf(http.StatusNotFound, code, "%s", message)
}

// subresourceTable is every document of a bucket but its policy.
func subresourceTable() map[string]subresource {
	return map[string]subresource{
		"versioning": {root: "VersioningConfiguration", get: "s3:GetBucketVersioning", put: "s3:PutBucketVersioning", answersMissing: true,
			blank: func() any { return new(versioningConfiguration) }, check: checkVersioning},
		"encryption": {root: "ServerSideEncryptionConfiguration", get: "s3:GetEncryptionConfiguration", put: "s3:PutEncryptionConfiguration", deletable: true,
			blank: func() any { return new(encryptionConfiguration) }, check: checkEncryption, standard: func() any { return defaultEncryption() }},
		"website": {root: "WebsiteConfiguration", get: "s3:GetBucketWebsite", put: "s3:PutBucketWebsite", deletable: true, deleteAction: "s3:DeleteBucketWebsite",
			blank: func() any { return new(websiteConfiguration) }, check: checkWebsite,
			missing: lacks("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration")},
		"publicAccessBlock": {root: "PublicAccessBlockConfiguration", get: "s3:GetBucketPublicAccessBlock", put: "s3:PutBucketPublicAccessBlock", deletable: true,
			blank: func() any { return new(publicAccessBlock) }, missing: lacks("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")},
		"ownershipControls": {root: "OwnershipControls", get: "s3:GetBucketOwnershipControls", put: "s3:PutBucketOwnershipControls", deletable: true,
			blank: func() any { return new(ownershipControls) }, missing: lacks("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
			check: func(_ *Service, _ *request, d any) error { return d.(*ownershipControls).check() }},
		"lifecycle": {root: "LifecycleConfiguration", get: "s3:GetLifecycleConfiguration", put: "s3:PutLifecycleConfiguration", deletable: true,
			blank: func() any { return new(lifecycle) }, missing: lacks("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
			headersOfGet: http.Header{minimumSize: {allClasses}}, check: checkLifecycle},
		"replication": {root: "ReplicationConfiguration", get: "s3:GetReplicationConfiguration", put: "s3:PutReplicationConfiguration", deletable: true,
			blank: func() any { return new(replicationConfiguration) }, missing: lacks("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
			check: checkReplication},
		"tagging": {root: "Tagging", get: "s3:GetBucketTagging", put: "s3:PutBucketTagging", deletable: true, statusOfPut: http.StatusNoContent,
			blank: func() any { return new(tagging) }, missing: lacks("NoSuchTagSet", "The TagSet does not exist"),
			check: func(_ *Service, _ *request, d any) error { return d.(*tagging).TagSet.check(50) }},

		// What a bucket can have and none here has: it is answered as for a
		// bucket without it.
		"cors":           {get: "s3:GetBucketCORS", missing: lacks("NoSuchCORSConfiguration", "The CORS configuration does not exist")},
		"object-lock":    {get: "s3:GetBucketObjectLockConfiguration", missing: lacks("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")},
		"logging":        {root: "BucketLoggingStatus", get: "s3:GetBucketLogging", answersMissing: true},
		"accelerate":     {root: "AccelerateConfiguration", get: "s3:GetAccelerateConfiguration", answersMissing: true},
		"notification":   {root: "NotificationConfiguration", get: "s3:GetBucketNotification", answersMissing: true},
		"requestPayment": {root: "RequestPaymentConfiguration", get: "s3:GetBucketRequestPayment", standard: func() any { return struct{ Payer string }{"BucketOwner"} }},
	}
}

const (
	minimumSize = "X-Amz-Transition-Default-Minimum-Object-Size"
	allClasses  = "all_storage_classes_128K"
)

// configOperations are the operations on them, and on policy and ACL.
func (s *Service) configOperations() map[string]operation {
	out := map[string]operation{
		"GET bucket policy":       {action: "s3:GetBucketPolicy", serve: getPolicy},
		"PUT bucket policy":       {action: "s3:PutBucketPolicy", headers: []string{"X-Amz-Confirm-Remove-Self-Bucket-Access"}, serve: putPolicy},
		"DELETE bucket policy":    {action: "s3:DeleteBucketPolicy", serve: deletePolicy},
		"GET bucket policyStatus": {action: "s3:GetBucketPolicyStatus", serve: policyStatus},
		"GET bucket acl":          {action: "s3:GetBucketAcl", serve: func(*request) (reply, error) { return ownersACL(), nil }},
		"PUT bucket acl":          {action: "s3:PutBucketAcl", headers: []string{"X-Amz-Acl"}, serve: putBucketACL},
	}
	for name, sub := range subresourceTable() {
		out["GET bucket "+name] = operation{action: sub.get, serve: func(r *request) (reply, error) {
			document, set := r.in.config[name]
			switch {
			case !set && sub.missing != nil:
				return reply{}, &wire.Error{Status: sub.missing.Status, Code: sub.missing.Code, Message: sub.missing.Message, Fields: map[string]any{"BucketName": r.bucket}}
			case !set && sub.standard != nil:
				document = sub.standard()
			}
			return reply{root: sub.root, body: document, header: sub.headersOfGet}, nil
		}}
		if sub.put == "" {
			continue
		}
		out["PUT bucket "+name] = operation{action: sub.put, headers: []string{minimumSize}, serve: func(r *request) (reply, error) { return s.putConfig(r, name, sub) }}
		if !sub.deletable {
			continue
		}
		action := sub.put
		if sub.deleteAction != "" {
			action = sub.deleteAction
		}
		out["DELETE bucket "+name] = operation{action: action, serve: func(r *request) (reply, error) {
			delete(r.in.config, name)
			if sub.standard != nil {
				r.in.config[name] = sub.standard()
			}
			return reply{status: http.StatusNoContent}, nil
		}}
	}
	return out
}

func (s *Service) putConfig(r *request, name string, sub subresource) (reply, error) {
	document := sub.blank()
	if err := decode(r.body, document); err != nil {
		return reply{}, err
	}
	if sub.check != nil {
		if err := sub.check(s, r, document); err != nil {
			return reply{}, err
		}
	}
	r.in.config[name] = document
	return reply{status: sub.statusOfPut}, nil
}

// versioning is "" where it was never turned on.
func (b *bucket) versioning() string {
	if c, ok := b.config["versioning"].(*versioningConfiguration); ok {
		return c.Status
	}
	return ""
}

func checkVersioning(_ *Service, r *request, document any) error {
	c := document.(*versioningConfiguration)
	if c.Status != enabled && c.Status != "Suspended" {
		return wire.Errorf(http.StatusBadRequest, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
	}
	if c.MfaDelete == enabled {
		return notImplemented("MFA delete")
	}
	if _, replicated := r.in.config["replication"]; replicated && c.Status != enabled {
		return wire.Errorf(http.StatusConflict, "InvalidBucketState", "A replication configuration is present on this bucket, so the versioning state cannot be changed.")
	}
	c.MfaDelete = ""
	return nil
}

func (b *bucket) encryption() encryption {
	c, ok := b.config["encryption"].(*encryptionConfiguration)
	if !ok {
		return encryption{algorithm: sseS3}
	}
	rule := c.Rules[0]
	return encryption{algorithm: rule.Default.SSEAlgorithm, key: rule.Default.KMSMasterKeyID, bucketKey: rule.BucketKeyEnabled}
}

func checkEncryption(_ *Service, _ *request, document any) error {
	c := document.(*encryptionConfiguration)
	if len(c.Rules) != 1 {
		return malformedXML()
	}
	switch rule := c.Rules[0]; rule.Default.SSEAlgorithm {
	case sseKMS:
		return nil // the key is looked at when an object is written
	case sseS3:
		if rule.Default.KMSMasterKeyID != "" {
			return invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
		}
		return nil
	case "aws:kms:dsse":
		return notImplemented("server-side encryption %s", sseKMS+":dsse")
	default:
		return malformedXML()
	}
}

func checkWebsite(_ *Service, _ *request, document any) error {
	c := document.(*websiteConfiguration)
	switch {
	case c.RedirectAllRequestsTo != nil:
		if c.IndexDocument != nil || c.ErrorDocument != nil || c.RedirectAllRequestsTo.HostName == "" {
			return malformedXML()
		}
	case c.IndexDocument == nil || c.IndexDocument.Suffix == "":
		return invalidArgument("A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty")
	case strings.Contains(c.IndexDocument.Suffix, "/"):
		return invalidArgument("The IndexDocument Suffix is not well formed")
	case c.ErrorDocument != nil && c.ErrorDocument.Key == "":
		return malformedXML()
	}
	return nil
}

func checkLifecycle(s *Service, r *request, document any) error {
	if size := r.Header.Get(minimumSize); size != "" && size != allClasses {
		return notImplemented("%s %s", minimumSize, size)
	}
	l := document.(*lifecycle)
	if err := l.check(); err != nil {
		return err
	}
	for i := range l.Rules {
		if l.Rules[i].ID == "" {
			l.Rules[i].ID = s.token(32)
		}
	}
	return nil
}

// blocks is the bucket's Block Public Access; the account's own does not
// exist here.
func (b *bucket) blocks() publicAccessBlock {
	if c, ok := b.config["publicAccessBlock"].(*publicAccessBlock); ok {
		return *c
	}
	return publicAccessBlock{}
}

func (b *bucket) ownership() string {
	if c, ok := b.config["ownershipControls"].(*ownershipControls); ok {
		return c.Rules[0].ObjectOwnership
	}
	return "ObjectWriter"
}

// ownersACL is the ACL of everything here: full control of the one owner.
func ownersACL() reply {
	type grantee struct {
		Namespace string `xml:"xmlns:xsi,attr"`
		Type      string `xml:"xsi:type,attr"`
		owner
	}
	type grant struct {
		Grantee    grantee
		Permission string
	}
	return reply{root: "AccessControlPolicy", body: struct {
		Owner owner
		Grant []grant `xml:"AccessControlList>Grant"`
	}{accountOwner, []grant{{grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", accountOwner}, "FULL_CONTROL"}}}}
}

func putBucketACL(r *request) (reply, error) {
	if len(r.body) > 0 {
		return reply{}, notImplemented("access control list")
	}
	return reply{}, r.noACL(r.in.ownership())
}

// versionToTag finds the version that an operation on tags or ACL means.
func versionToTag(r *request) (*version, error) {
	v := r.in.current(r.key)
	if id := r.query.Get("versionId"); id != "" {
		v = r.in.versionOf(r.key, id)
	}
	if v == nil {
		return nil, noSuchKey(r.key)
	}
	if v.marker {
		return nil, wire.Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	return v, nil
}

func getObjectACL(r *request) (reply, error) {
	if _, err := versionToTag(r); err != nil {
		return reply{}, err
	}
	return ownersACL(), nil
}

func getTags(r *request) (reply, error) {
	v, err := versionToTag(r)
	if err != nil {
		return reply{}, err
	}
	out := tagging{}
	for key, value := range v.tags {
		out.TagSet.Tag = append(out.TagSet.Tag, tag{key, value})
	}
	slices.SortFunc(out.TagSet.Tag, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	header := http.Header{}
	r.in.idHeader(header, v.id)
	return reply{header: header, root: "Tagging", body: out}, nil
}

func (s *Service) putTags(r *request) (reply, error) {
	var in tagging
	if err := decode(r.body, &in); err != nil {
		return reply{}, err
	}
	if err := in.TagSet.check(10); err != nil {
		return reply{}, err
	}
	return s.retag(r, in.TagSet, http.StatusOK)
}

func (s *Service) deleteTags(r *request) (reply, error) {
	return s.retag(r, tagSet{}, http.StatusNoContent)
}

func (s *Service) retag(r *request, set tagSet, status int) (reply, error) {
	old, err := versionToTag(r)
	if err != nil {
		return reply{}, err
	}
	v := *old // a reader may hold the old one
	v.tags = map[string]string{}
	for _, one := range set.Tag {
		v.tags[one.Key] = one.Value
	}
	r.in.swap(old, &v)
	s.replicateTags(r.in, &v, r.call.Now)
	header := http.Header{}
	r.in.idHeader(header, v.id)
	return reply{status: status, header: header}, nil
}

// swap puts a changed copy into the place of a version.
func (b *bucket) swap(old, now *version) {
	all := slices.Clone(b.objects[old.key])
	all[slices.Index(all, old)] = now
	b.objects[old.key] = all
}
