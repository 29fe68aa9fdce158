package lambda

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const latest = "$LATEST"

// code is an uploaded zip.
type code struct {
	SHA256 string // base64, as CodeSha256
	Zip    []byte
}

func newCode(zipped []byte) (code, error) {
	if _, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped))); err != nil {
		return code{}, invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	sum := sha256.Sum256(zipped)
	return code{base64.StdEncoding.EncodeToString(sum[:]), zipped}, nil
}

// release is one version of a function, or one state of $LATEST. It is never
// changed: an update of $LATEST makes another one.
type release struct {
	Region, Function string
	Version          string
	Settings         settings
	Code             code
	RevisionID       string
	ModifiedAt       time.Time
	CreatedAt        time.Time // of the function: State is Pending until ReadyAt only then
	ReadyAt          time.Time
}

func (r *release) functionARN() string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", r.Region, wire.Account, r.Function)
}

// pending says whether the function itself, or an update of it, is not ready yet.
func (r *release) pending(now time.Time) (creating, updating bool) {
	if !now.Before(r.ReadyAt) {
		return false, false
	}
	return r.ModifiedAt.Equal(r.CreatedAt), !r.ModifiedAt.Equal(r.CreatedAt)
}

type function struct {
	Region, Name string
	Latest       *release
	Versions     []*release
	LastVersion  int // numbers of deleted versions are not used again
	Aliases      map[string]alias
	Policies     map[string]*permissions // by qualifier, "" for the function itself
	Tags         map[string]string
	Reserved     *int
}

func (f *function) arn() string { return f.Latest.functionARN() }

// store is every function of every region. Its methods are safe for
// concurrent use.
type store struct {
	mu         sync.Mutex
	functions  map[string]*function // by region and name
	pendingFor time.Duration
}

func newStore(pendingFor time.Duration) *store {
	return &store{functions: map[string]*function{}, pendingFor: pendingFor}
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)

// reference names a function, or one qualifier of it.
type reference struct{ Region, Name, Qualifier string }

func (r reference) arn() string {
	arn := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", r.Region, wire.Account, r.Name)
	if r.Qualifier != "" {
		arn += ":" + r.Qualifier
	}
	return arn
}

// parseReference reads the forms AWS takes for a function's name: the name,
// ACCOUNT:function:NAME and the whole ARN, each with or without a qualifier.
func parseReference(region, text, qualifier string) (reference, error) {
	r := reference{Region: region, Qualifier: qualifier}
	parts := strings.Split(text, ":")
	switch {
	case len(parts) >= 7 && parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "function":
		if parts[3] != region {
			return r, fail(http.StatusNotFound, "ResourceNotFoundException", "Functions from '%s' are not reachable in this region ('%s')", parts[3], region)
		}
		if parts[4] != wire.Account {
			return r, fail(http.StatusForbidden, "AccessDeniedException", "the embedded AWS has no account %s", parts[4])
		}
		parts = parts[6:]
	case len(parts) >= 3 && parts[0] == wire.Account && parts[1] == "function":
		parts = parts[2:]
	}
	r.Name = parts[0]
	if len(parts) > 2 || !namePattern.MatchString(r.Name) {
		return r, constraint("functionName", text, "Member must satisfy regular expression pattern: "+namePattern.String())
	}
	if len(parts) == 2 {
		if qualifier != "" && qualifier != parts[1] {
			return r, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		r.Qualifier = parts[1]
	}
	return r, nil
}

func (s *store) find(r reference) (*function, error) {
	f, ok := s.functions[r.Region+"/"+r.Name]
	if !ok {
		return nil, notFound(r)
	}
	return f, nil
}

func notFound(r reference) error {
	return fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", r.arn())
}

func (s *store) create(now time.Time, r reference, set settings, c code, tags map[string]string) (*release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.functions[r.Region+"/"+r.Name]; exists {
		return nil, fail(http.StatusConflict, "ResourceConflictException", "Function already exist: %s", r.Name)
	}
	f := &function{
		Region: r.Region, Name: r.Name, Aliases: map[string]alias{}, Policies: map[string]*permissions{}, Tags: maps.Clone(tags),
		Latest: &release{
			Region: r.Region, Function: r.Name, Version: latest, Settings: set, Code: c, RevisionID: newID(),
			ModifiedAt: now, CreatedAt: now, ReadyAt: now.Add(s.pendingFor),
		},
	}
	s.functions[r.Region+"/"+r.Name] = f
	return f.Latest, nil
}

// update replaces $LATEST and returns the old and the new one. change gets
// the current settings and code.
func (s *store) update(now time.Time, r reference, revisionID string, change func(settings, code) (settings, code, error)) (old, updated *release, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return nil, nil, err
	}
	if creating, updating := f.Latest.pending(now); creating || updating {
		return nil, nil, fail(http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: %s", f.arn())
	}
	if err := precondition(revisionID, f.Latest.RevisionID); err != nil {
		return nil, nil, err
	}
	next := *f.Latest
	if next.Settings, next.Code, err = change(next.Settings, next.Code); err != nil {
		return nil, nil, err
	}
	next.ModifiedAt, next.ReadyAt, next.RevisionID = now, now.Add(s.pendingFor), newID()
	old, f.Latest = f.Latest, &next
	return old, f.Latest, nil
}

func precondition(want, have string) error {
	if want != "" && want != have {
		return fail(http.StatusPreconditionFailed, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	}
	return nil
}

// publish makes a version of $LATEST, or returns the last one if nothing
// changed since.
func (s *store) publish(now time.Time, r reference, codeSHA256, revisionID string, description *string) (*release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if err := precondition(revisionID, f.Latest.RevisionID); err != nil {
		return nil, err
	}
	if codeSHA256 != "" && codeSHA256 != f.Latest.Code.SHA256 {
		return nil, invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", codeSHA256, f.Latest.Code.SHA256)
	}
	if n := len(f.Versions); n > 0 {
		last := f.Versions[n-1]
		if last.Code.SHA256 == f.Latest.Code.SHA256 && last.Settings.sameBehaviour(f.Latest.Settings) {
			return last, nil
		}
	}
	f.LastVersion++
	version := *f.Latest
	version.Version, version.RevisionID, version.ModifiedAt = strconv.Itoa(f.LastVersion), newID(), now
	version.CreatedAt = now
	if description != nil && *description != "" {
		version.Settings.Description = *description
	}
	f.Versions = append(f.Versions, &version)
	return &version, nil
}

// release returns the version a qualifier leads to, the alias followed
// without its weights. name is the qualifier's own ARN.
func (s *store) release(r reference) (*release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return nil, err
	}
	return f.release(r, func() float64 { return 1 })
}

// release draws between the versions of a weighted alias.
func (f *function) release(r reference, draw func() float64) (*release, error) {
	version := r.Qualifier
	if a, ok := f.Aliases[r.Qualifier]; ok {
		version = a.pick(draw)
	}
	if found := f.version(version); found != nil {
		return found, nil
	}
	return nil, notFound(r)
}

func (f *function) version(version string) *release {
	if version == "" || version == latest {
		return f.Latest
	}
	for _, v := range f.Versions {
		if v.Version == version {
			return v
		}
	}
	return nil
}

// remove deletes the function, or the one version of the qualifier, and
// returns what will not run again.
func (s *store) remove(r reference) ([]*release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return nil, err
	}
	if r.Qualifier == "" {
		delete(s.functions, r.Region+"/"+r.Name)
		return append(slices.Clone(f.Versions), f.Latest), nil
	}
	if _, isAlias := f.Aliases[r.Qualifier]; isAlias || r.Qualifier == latest {
		return nil, invalid("%s version cannot be deleted without deleting the function.", r.Qualifier)
	}
	for i, v := range f.Versions {
		if v.Version != r.Qualifier {
			continue
		}
		for name, a := range f.Aliases {
			if a.leadsTo(v.Version) {
				return nil, fail(http.StatusConflict, "ResourceConflictException", "Version %s is currently referenced by alias: [%s]. Please remove the alias before deleting the version.", v.Version, name)
			}
		}
		f.Versions = slices.Delete(f.Versions, i, i+1)
		delete(f.Policies, r.Qualifier)
		return []*release{v}, nil
	}
	return nil, notFound(r)
}

// list returns $LATEST of every function of the region, by name.
func (s *store) list(region string) []*release {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*release
	for _, f := range s.functions {
		if f.Region == region {
			found = append(found, f.Latest)
		}
	}
	slices.SortFunc(found, func(a, b *release) int { return strings.Compare(a.Function, b.Function) })
	return found
}

// with runs do on the function while nothing else can change it.
func (s *store) with(r reference, do func(*function) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return err
	}
	return do(f)
}

// accountConcurrency is AWS's default limit of a region.
const accountConcurrency = 1000

// reserve sets the function's reserved concurrency; nil removes it.
func (s *store) reserve(r reference, n *int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(r)
	if err != nil {
		return err
	}
	if n != nil {
		if *n < 0 {
			return constraint("reservedConcurrentExecutions", *n, "Member must have value greater than or equal to 0")
		}
		old := 0
		if f.Reserved != nil {
			old = *f.Reserved
		}
		if s.unreserved(r.Region)+old-*n < 100 {
			return invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].")
		}
	}
	f.Reserved = n
	return nil
}

func (s *store) unreserved(region string) int {
	left := accountConcurrency
	for _, f := range s.functions {
		if f.Region == region && f.Reserved != nil {
			left -= *f.Reserved
		}
	}
	return left
}

// account is what GetAccountSettings reports of a region.
func (s *store) account(region string) (unreserved, functions int, codeBytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.functions {
		if f.Region != region {
			continue
		}
		functions++
		codeBytes += int64(len(f.Latest.Code.Zip))
		for _, v := range f.Versions {
			codeBytes += int64(len(v.Code.Zip))
		}
	}
	return s.unreserved(region), functions, codeBytes
}
