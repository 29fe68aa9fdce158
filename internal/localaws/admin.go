package localaws

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/fault"
	"github.com/tapctl/tapctl/internal/localaws/iam"
)

// adminPath is where the embedded AWS itself is addressed, beside the AWS
// APIs: faults are put in from outside, and nothing under test can see them.
const adminPath = "/_tapctl/"

// FaultsPath lists (GET), adds (POST) and clears (DELETE ?region=) faults.
const FaultsPath = adminPath + "faults"

// EnvPath tells what 'local env' exports.
const EnvPath = adminPath + "env"

// ResetPath (POST) empties the account.
const ResetPath = adminPath + "reset"

// IPRangesPath (GET) is this world's ip-ranges.json.
const IPRangesPath = adminPath + "ip-ranges"

// AskedPath (GET ?role=) tells what was asked of IAM, by role.
const AskedPath = adminPath + "asked"

// RoleUse is an element of AskedPath's list.
type RoleUse = iam.RoleUse

func isAdmin(path string) bool { return strings.HasPrefix(path, adminPath) }

func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+FaultsPath, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.faults.List())
	})
	mux.HandleFunc("POST "+FaultsPath, func(w http.ResponseWriter, r *http.Request) {
		var f fault.Fault
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&f)
		if err == nil {
			err = s.faults.Add(f)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		s.log.Info("fault injected", "region", f.Region, "kind", f.Kind, "target", f.Target, "rate", f.Rate)
		writeJSON(w, http.StatusOK, f)
	})
	mux.HandleFunc("DELETE "+FaultsPath, func(w http.ResponseWriter, r *http.Request) {
		s.faults.Clear(r.URL.Query().Get("region"))
		s.log.Info("faults cleared", "region", r.URL.Query().Get("region"))
		writeJSON(w, http.StatusOK, s.faults.List())
	})
	mux.HandleFunc("GET "+EnvPath, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Env())
	})
	mux.HandleFunc("GET "+IPRangesPath, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, ranges())
	})
	mux.HandleFunc("GET "+AskedPath, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.world.Load().identity.Asked(r.URL.Query().Get("role")))
	})
	mux.HandleFunc("POST "+ResetPath, func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		writeJSON(w, http.StatusOK, s.Env())
	})
	mux.HandleFunc(adminPath, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such page: " + r.URL.Path})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // Non-fatal: the caller has gone.
}
