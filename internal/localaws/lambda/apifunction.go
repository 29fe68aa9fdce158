package lambda

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// configuration is the FunctionConfiguration of Lambda's model.
type configuration struct {
	Architectures    []string
	CodeSha256       string
	CodeSize         int
	Description      string
	Environment      *environmentOut `json:",omitempty"`
	EphemeralStorage struct{ Size int }
	FunctionArn      string
	FunctionName     string
	Handler          string
	KMSKeyArn        string `json:",omitempty"`
	LastModified     string
	LastUpdateStatus string `json:",omitempty"`
	LoggingConfig    loggingConfig
	MemorySize       int
	PackageType      string
	RevisionId       string
	Role             string
	Runtime          string
	SnapStart        struct{ ApplyOn, OptimizationStatus string }
	State            string
	StateReason      string `json:",omitempty"`
	StateReasonCode  string `json:",omitempty"`
	Timeout          int
	TracingConfig    struct{ Mode string }
	Version          string
}

type environmentOut struct{ Variables map[string]string }

// configurationOf describes a version as seen through a qualifier, which the
// ARN repeats; CreateFunction and ListFunctions show it without.
func configurationOf(r *release, qualifier string, now time.Time) configuration {
	set := r.Settings
	c := configuration{
		Architectures: []string{set.Architecture}, CodeSha256: r.Code.SHA256, CodeSize: len(r.Code.Zip),
		Description: set.Description, FunctionArn: reference{r.Region, r.Function, qualifier}.arn(), FunctionName: r.Function,
		Handler: set.Handler, KMSKeyArn: set.KMSKeyARN, LastModified: r.ModifiedAt.UTC().Format("2006-01-02T15:04:05.000+0000"),
		LastUpdateStatus: "Successful", LoggingConfig: set.Logging, MemorySize: set.MemorySize, PackageType: "Zip",
		RevisionId: r.RevisionID, Role: set.Role, Runtime: set.Runtime, State: "Active", Timeout: set.Timeout, Version: r.Version,
	}
	if len(set.Environment) > 0 {
		c.Environment = &environmentOut{set.Environment}
	}
	c.LoggingConfig.LogGroup = set.logGroup(r.Function)
	c.EphemeralStorage.Size = set.EphemeralMB
	c.SnapStart.ApplyOn, c.SnapStart.OptimizationStatus = set.SnapStart, "Off"
	c.TracingConfig.Mode = set.Tracing
	creating, updating := r.pending(now)
	if creating {
		c.State, c.StateReason, c.StateReasonCode = "Pending", "The function is being created.", "Creating"
		c.LastUpdateStatus = "InProgress"
	}
	if updating {
		c.LastUpdateStatus = "InProgress"
	}
	return c
}

// codeInput is the code of CreateFunction and UpdateFunctionCode.
type codeInput struct {
	ZipFile                                    []byte
	ImageUri, S3Bucket, S3Key, S3ObjectVersion string
	SourceKMSKeyArn, S3ObjectStorageMode       string
}

func (in codeInput) code() (code, error) {
	if in.ImageUri != "" || in.S3Bucket != "" || in.S3Key != "" || in.S3ObjectVersion != "" || in.SourceKMSKeyArn != "" || in.S3ObjectStorageMode != "" {
		return code{}, invalid("the embedded AWS takes code as ZipFile only, not from S3 and not as an image")
	}
	if len(in.ZipFile) == 0 {
		return code{}, invalid("Please provide a source for function code.")
	}
	return newCode(in.ZipFile)
}

type createInput struct {
	settingsInput
	Architectures        []string
	Code                 codeInput
	CodeSigningConfigArn string
	FunctionName         string
	PackageType          string
	Publish              bool
	PublishTo            string
	Tags                 map[string]string
}

func (s *Service) createFunction(req *request) (int, any, error) {
	var in createInput
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	ref, err := parseReference(req.call.Region, in.FunctionName, "")
	if err != nil {
		return 0, nil, err
	}
	if in.CodeSigningConfigArn != "" || in.PublishTo != "" || (in.PackageType != "" && in.PackageType != "Zip") {
		return 0, nil, invalid("the embedded AWS implements neither code signing, PublishTo nor container images")
	}
	set, err := architecture(defaults(), in.Architectures)
	if err != nil {
		return 0, nil, err
	}
	if set, err = in.apply(set); err != nil {
		return 0, nil, err
	}
	if err := s.assumable(set.Role); err != nil {
		return 0, nil, err
	}
	uploaded, err := in.Code.code()
	if err != nil {
		return 0, nil, err
	}
	created, err := s.store.create(req.call.Now, ref, set, uploaded, in.Tags)
	if err == nil && in.Publish {
		created, err = s.store.publish(req.call.Now, ref, "", "", nil)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, configurationOf(created, "", req.call.Now), nil
}

func architecture(set settings, names []string) (settings, error) {
	if len(names) > 1 {
		return set, constraint("architectures", names, "Member must have length less than or equal to 1")
	}
	if len(names) == 1 {
		set.Architecture = names[0]
	}
	return set, nil
}

func (s *Service) getFunction(req *request) (int, any, error) {
	r, err := s.store.release(req.ref)
	if err != nil {
		return 0, nil, err
	}
	type concurrency struct{ ReservedConcurrentExecutions int }
	type location struct{ RepositoryType string }
	out := struct {
		Code          location // without Location: the code cannot be downloaded
		Configuration configuration
		Tags          map[string]string `json:",omitempty"`
		Concurrency   *concurrency      `json:",omitempty"`
	}{Code: location{"S3"}, Configuration: configurationOf(r, req.ref.Qualifier, req.call.Now)}
	err = s.store.with(req.ref, func(f *function) error {
		out.Tags = maps.Clone(f.Tags)
		if f.Reserved != nil {
			out.Concurrency = &concurrency{*f.Reserved}
		}
		return nil
	})
	return http.StatusOK, out, err
}

func (s *Service) getFunctionConfiguration(req *request) (int, any, error) {
	r, err := s.store.release(req.ref)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, configurationOf(r, req.ref.Qualifier, req.call.Now), nil
}

func (s *Service) listFunctions(req *request) (int, any, error) {
	query := req.URL.Query()
	if query.Get("MasterRegion") != "" {
		return 0, nil, invalid("the embedded AWS does not implement MasterRegion")
	}
	var all []configuration
	for _, r := range s.store.list(req.call.Region) {
		all = append(all, configurationOf(r, "", req.call.Now))
		if query.Get("FunctionVersion") == "ALL" {
			versions, err := s.versions(reference{r.Region, r.Function, ""}, req.call.Now)
			if err != nil {
				continue // deleted meanwhile
			}
			all = append(all, versions[1:]...)
		}
	}
	items, next, err := page(req, all, func(c configuration) string { return c.FunctionArn + c.Version })
	return http.StatusOK, map[string]any{"Functions": nonNil(items), "NextMarker": optional(next)}, err
}

func nonNil[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (s *Service) versions(ref reference, now time.Time) ([]configuration, error) {
	var all []configuration
	err := s.store.with(ref, func(f *function) error {
		all = append(all, configurationOf(f.Latest, latest, now))
		for _, v := range f.Versions {
			all = append(all, configurationOf(v, v.Version, now))
		}
		return nil
	})
	return all, err
}

func (s *Service) listVersions(req *request) (int, any, error) {
	all, err := s.versions(req.ref, req.call.Now)
	if err != nil {
		return 0, nil, err
	}
	items, next, err := page(req, all, func(c configuration) string { return c.Version })
	return http.StatusOK, map[string]any{"Versions": nonNil(items), "NextMarker": optional(next)}, err
}

func (s *Service) deleteFunction(req *request) (int, any, error) {
	gone, err := s.store.remove(req.ref)
	if err != nil {
		return 0, nil, err
	}
	s.exec.retire(gone...)
	return http.StatusNoContent, nil, nil
}

func (s *Service) updateFunctionConfiguration(req *request) (int, any, error) {
	var in struct {
		settingsInput
		RevisionId string
	}
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	old, updated, err := s.store.update(req.call.Now, req.ref, in.RevisionId, func(set settings, c code) (settings, code, error) {
		set, err := in.apply(set)
		if err == nil && in.Role != nil {
			err = s.assumable(set.Role)
		}
		return set, c, err
	})
	if err != nil {
		return 0, nil, err
	}
	s.exec.retire(old)
	return http.StatusOK, configurationOf(updated, "", req.call.Now), nil
}

func (s *Service) updateFunctionCode(req *request) (int, any, error) {
	var in struct {
		codeInput
		Architectures []string
		DryRun        bool
		Publish       bool
		PublishTo     string
		RevisionId    string
	}
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.DryRun || in.PublishTo != "" {
		wire.Unknown(s.options.Log, req.call, "UpdateFunctionCode with DryRun or PublishTo")
		return 0, nil, invalid("the embedded AWS implements neither DryRun nor PublishTo")
	}
	uploaded, err := in.code()
	if err != nil {
		return 0, nil, err
	}
	old, updated, err := s.store.update(req.call.Now, req.ref, in.RevisionId, func(set settings, _ code) (settings, code, error) {
		set, err := architecture(set, in.Architectures)
		if err != nil {
			return set, uploaded, err
		}
		return set, uploaded, set.validate()
	})
	if err != nil {
		return 0, nil, err
	}
	s.exec.retire(old)
	if in.Publish {
		if updated, err = s.store.publish(req.call.Now, req.ref, "", "", nil); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, configurationOf(updated, "", req.call.Now), nil
}

func (s *Service) publishVersion(req *request) (int, any, error) {
	var in struct {
		CodeSha256, RevisionId, PublishTo string
		Description                       *string
	}
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.PublishTo != "" {
		return 0, nil, invalid("the embedded AWS does not implement PublishTo")
	}
	r, err := s.store.publish(req.call.Now, req.ref, in.CodeSha256, in.RevisionId, in.Description)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, configurationOf(r, r.Version, req.call.Now), nil
}

// getCodeSigningConfig: a function without one answers 200 and its name.
func (s *Service) getCodeSigningConfig(req *request) (int, any, error) {
	if _, err := s.store.release(req.ref); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"FunctionName": req.ref.Name}, nil
}

func (s *Service) getRuntimeManagementConfig(req *request) (int, any, error) {
	r, err := s.store.release(req.ref)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"FunctionArn": r.functionARN(), "UpdateRuntimeOn": "Auto"}, nil
}

func (s *Service) putConcurrency(req *request) (int, any, error) {
	var in struct{ ReservedConcurrentExecutions *int }
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.ReservedConcurrentExecutions == nil {
		return 0, nil, constraint("reservedConcurrentExecutions", "null", "Member must not be null")
	}
	return http.StatusOK, in, s.store.reserve(req.ref, in.ReservedConcurrentExecutions)
}

func (s *Service) deleteConcurrency(req *request) (int, any, error) {
	return http.StatusNoContent, nil, s.store.reserve(req.ref, nil)
}

func (s *Service) getConcurrency(req *request) (int, any, error) {
	out := map[string]int{}
	err := s.store.with(req.ref, func(f *function) error {
		if f.Reserved != nil {
			out["ReservedConcurrentExecutions"] = *f.Reserved
		}
		return nil
	})
	return http.StatusOK, out, err
}

func (s *Service) getAccountSettings(req *request) (int, any, error) {
	unreserved, count, size := s.store.account(req.call.Region)
	return http.StatusOK, map[string]any{
		"AccountLimit": map[string]any{
			"CodeSizeUnzipped": maxUnzipped, "CodeSizeZipped": 50 << 20, "ConcurrentExecutions": accountConcurrency,
			"TotalCodeSize": int64(75) << 30, "UnreservedConcurrentExecutions": unreserved,
		},
		"AccountUsage": map[string]any{"FunctionCount": count, "TotalCodeSize": size},
	}, nil
}

// tagged is the function a tag operation's ARN names.
func (req *request) tagged() (reference, error) {
	ref, err := parseReference(req.call.Region, req.PathValue("Resource"), "")
	if err == nil && (ref.Qualifier != "" || !strings.HasPrefix(req.PathValue("Resource"), "arn:")) {
		err = invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return ref, err
}

func (s *Service) tagResource(req *request) (int, any, error) {
	var in struct{ Tags map[string]string }
	if err := req.decode(&in); err != nil {
		return 0, nil, err
	}
	ref, err := req.tagged()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.store.with(ref, func(f *function) error {
		tags := maps.Clone(f.Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		maps.Copy(tags, in.Tags)
		if len(tags) > 50 {
			return invalid("Too many tags: %d. The limit is 50.", len(tags))
		}
		f.Tags = tags
		return nil
	})
}

func (s *Service) untagResource(req *request) (int, any, error) {
	ref, err := req.tagged()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.store.with(ref, func(f *function) error {
		for _, key := range req.URL.Query()["tagKeys"] {
			delete(f.Tags, key)
		}
		return nil
	})
}

func (s *Service) listTags(req *request) (int, any, error) {
	ref, err := req.tagged()
	if err != nil {
		return 0, nil, err
	}
	tags := map[string]string{}
	err = s.store.with(ref, func(f *function) error { maps.Copy(tags, f.Tags); return nil })
	return http.StatusOK, map[string]any{"Tags": tags}, err
}
