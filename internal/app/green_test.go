package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// green is the stage and the function of the target region, as far as the dials
// go.
type green struct {
	mu         sync.Mutex
	fn         string
	canary     float64
	live, next string
	stuck      bool // it takes patches and does not follow them
	answers    int  // the status of whoever invokes it
	denies     bool // who asks for a version
}

func (g *green) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call := wire.Call{RequestID: "r-1"}
	switch {
	case strings.Contains(r.URL.Path, "/stages/"):
		var patch struct {
			PatchOperations []struct{ Path, Value string }
		}
		if len(body) > 0 && json.Unmarshal(body, &patch) != nil {
			wire.Refuse(rw, call, wire.RESTJSONProtocol, wire.Errorf(http.StatusBadRequest, "BadRequestException", "not a patch"))
			return
		}
		for _, operation := range patch.PatchOperations {
			if g.stuck {
				break
			}
			switch operation.Path {
			case "/variables/fn":
				g.fn = operation.Value
			case "/canarySettings/percentTraffic":
				g.canary, _ = strconv.ParseFloat(operation.Value, 64)
			}
		}
		answer(rw, map[string]any{"stageName": "prod", "variables": map[string]string{"fn": g.fn}, "canarySettings": map[string]any{"percentTraffic": g.canary}})
	case strings.HasSuffix(r.URL.Path, "/invocations"):
		answer(rw, map[string]any{"statusCode": g.answers, "body": "{}"})
	case strings.HasSuffix(r.URL.Path, "/configuration"):
		version := r.URL.Query().Get("Qualifier")
		switch known := version == "1" || version == g.next; {
		case g.denies:
			wire.Refuse(rw, call, wire.RESTJSONProtocol, wire.Errorf(http.StatusForbidden, "AccessDeniedException", "not allowed"))
		case !known:
			wire.Refuse(rw, call, wire.RESTJSONProtocol, wire.Errorf(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", version))
		default:
			answer(rw, map[string]string{"Version": version})
		}
	case strings.HasSuffix(r.URL.Path, "/aliases/live"):
		var update struct{ FunctionVersion string }
		if len(body) > 0 && json.Unmarshal(body, &update) == nil {
			g.live = update.FunctionVersion
		}
		answer(rw, map[string]string{"Name": "live", "FunctionVersion": g.live, "RevisionId": g.live})
	default:
		answer(rw, map[string]string{"Name": "next", "FunctionVersion": g.next, "RevisionId": g.next})
	}
}

func answer(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(v) // its asker may have gone
}

// promote makes the candidate what answers.
func (g *green) promote() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fn, g.canary, g.live = "Shop-prod-api:live", 0, g.next
}

// version is what the alias live points at.
func (g *green) version() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.live
}

// turn sets the canary.
func (g *green) turn(percent float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.canary = percent
}
