package lambda

import (
	"io"
	"net/http"
	"strconv"
)

// maxPayload is AWS's bound on a synchronous request and its response.
const maxPayload = 6 << 20

// runtimeAPI serves Lambda's Runtime API to one bootstrap.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
func (e *environment) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.finish(""))
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.finish("Unhandled"))
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.failInit)
	return mux
}

// next hands the bootstrap its next invocation, and keeps it waiting until
// there is one.
func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	if !e.isReady {
		e.isReady = true
		close(e.ready)
	}
	e.mu.Unlock()
	var inv *invocation
	select {
	case inv = <-e.work:
	case <-r.Context().Done():
		return
	}
	e.mu.Lock()
	e.current = inv
	e.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.functionARN)
	h.Set("Lambda-Runtime-Trace-Id", traceID(inv))
	if inv.clientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", inv.clientContext)
	}
	w.Write(inv.payload) // Non-fatal: the bootstrap's end is noticed by its exit.
}

// traceID has X-Ray's form; nothing is sampled.
func traceID(inv *invocation) string {
	id := newID()
	return "Root=1-" + strconv.FormatInt(inv.deadline.Unix(), 16) + "-" + id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:28] + ";Parent=" + id[:8] + id[24:32] + ";Sampled=0"
}

func (e *environment) finish(functionError string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		inv := e.current
		matches := inv != nil && inv.id == r.PathValue("id")
		if matches {
			e.current = nil
		}
		e.mu.Unlock()
		if !matches {
			answer(w, http.StatusBadRequest, `{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}`)
			return
		}
		payload, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
		switch {
		case err != nil:
			inv.done <- failure("Runtime.Truncated", "RequestId: %s Error: the response ended early", inv.id)
			return
		case len(payload) > maxPayload:
			inv.done <- failure("Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload)
			answer(w, http.StatusRequestEntityTooLarge, `{"errorType":"RequestEntityTooLarge","errorMessage":"Exceeded maximum allowed payload size (6291556 bytes)."}`)
			return
		}
		inv.done <- outcome{payload, functionError}
		answer(w, http.StatusAccepted, `{"status":"OK"}`)
	}
}

// failInit keeps the bootstrap's account of a failed init; its exit follows.
func (e *environment) failInit(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	if err == nil {
		e.mu.Lock()
		e.initError = payload
		e.mu.Unlock()
	}
	answer(w, http.StatusAccepted, `{"status":"OK"}`)
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body) // Non-fatal: as in next.
}
