package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/tapctl/tapctl/internal/app"
	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/cutover"
)

// TestAFencedRunStops: what Pulumi is about to write was read under a lease.
// Once another run has it, or could have, it must not be written.
func TestAFencedRunStops(t *testing.T) {
	t.Parallel()
	seize := func(w *world) {
		ok[*awsapi.Held](w.t)(w.control().Seize(w.t.Context(), cutover.Lease{Owner: "a rollback", Expires: w.Clock.Now().Add(time.Hour)}, w.Clock.Now()))
	}
	for name, tt := range map[string]struct {
		happens func(*world)
		fenced  bool
	}{
		"a rollback takes the lease": {seize, true},
		"it takes it and is done": {func(w *world) {
			held := ok[*awsapi.Held](w.t)(w.control().Seize(w.t.Context(), cutover.Lease{Owner: "a rollback", Expires: w.Clock.Now().Add(time.Hour)}, w.Clock.Now()))
			if err := held.Release(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		}, true},
		"the table cannot be reached": {func(w *world) { w.set(greenRegion+"/dynamodb", refuses) }, true},
		"the table goes with base": {func(w *world) {
			ok[*dynamodb.DeleteTableOutput](w.t)(w.Clients.DynamoDB(greenRegion).DeleteTable(w.t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("Shop-prod-control")}))
			w.time.Advance(time.Minute)
		}, false},
		"nothing": {func(*world) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.makeControl()
			held := ok[*awsapi.Held](t)(w.Take(t.Context(), "deploy"))
			running, stack, stop := w.Hold(t.Context(), held)
			defer stop()
			if began, err := stack(); !began || err != nil || running.Err() != nil {
				t.Fatalf("held: began %v, %v, %v", began, err, running.Err())
			}
			tt.happens(w)
			patience, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if tt.fenced {
				patience = t.Context()
			}
			select {
			case <-running.Done():
			case <-patience.Done():
			}
			if got := running.Err() != nil; got != tt.fenced {
				t.Fatalf("stopped %v, want %v: %v", got, tt.fenced, context.Cause(running))
			}
			killed := errors.New("signal: killed")
			fenced, found := errors.AsType[*app.Fenced](app.Ended(running, killed))
			if found != tt.fenced || found && (fenced.Purpose != "deploy" || fenced.ExitCode() != 1) {
				t.Errorf("it ends with %v", app.Ended(running, killed))
			}
			if err := app.Ended(running, nil); err != nil {
				t.Errorf("it had ended before: %v", err)
			}
		})
	}
	w := newWorld(t)
	w.makeControl()
	_, stack, stop := w.Hold(t.Context(), ok[*awsapi.Held](t)(w.Take(t.Context(), "retire")))
	stop() // no beat notices
	seize(w)
	began, err := stack()
	if _, found := errors.AsType[*app.Fenced](err); began || !found {
		t.Errorf("right before a stack is written: began %v, %v", began, err)
	}
}
