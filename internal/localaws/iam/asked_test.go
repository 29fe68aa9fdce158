package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/tapctl/tapctl/internal/localaws/iam"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

func TestWhatWasAskedIsKeptByRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("api"), Path: aws.String("/team/"), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		t.Fatal(err)
	}
	session := f.session(t)
	ask := func(key, action string, keys map[string][]string) {
		// What is answered is the other tests' business.
		_ = f.service.Authorize(t.Context(), wire.Ask{AccessKeyID: key, Action: action, Resource: table, Keys: keys})
	}
	if diff := cmp.Diff([]iam.RoleUse{}, f.service.Asked("")); diff != "" {
		t.Errorf("before anything (-want +got):\n%s", diff)
	}
	f.put(t, "own", statement("Allow", "dynamodb:GetItem", "*", ""))
	context := map[string][]string{"kms:viaservice": {"dynamodb"}}
	for range 3 {
		ask(session, "dynamodb:GetItem", nil)
		ask(session, "dynamodb:GetItem", context)
		ask(session, "dynamodb:DeleteItem", nil)
		ask("root", "dynamodb:DeleteTable", nil)
	}
	want := iam.RoleUse{Role: "api", Asked: []iam.Question{
		{Action: "dynamodb:DeleteItem", Resource: table},
		{Action: "dynamodb:GetItem", Resource: table, Allowed: true},
		{Action: "dynamodb:GetItem", Resource: table, Keys: context, Allowed: true},
	}}
	for _, name := range []string{"", "api"} {
		if diff := cmp.Diff([]iam.RoleUse{want}, f.service.Asked(name)); diff != "" {
			t.Errorf("of %q (-want +got):\n%s", name, diff)
		}
	}
	if got := f.service.Asked("other"); len(got) != 0 {
		t.Errorf("of another role: %v", got)
	}
	// An answer that changed is another one; a record that is full says so.
	f.put(t, "own", statement("Deny", "*", "*", ""))
	ask(session, "dynamodb:GetItem", nil)
	if got := len(f.service.Asked("api")[0].Asked); got != 4 {
		t.Errorf("%d questions after a denial, want 4", got)
	}
	const more = 4096
	for i := range more {
		ask(session, fmt.Sprintf("dynamodb:Action%d", i), nil)
	}
	if got := f.service.Asked("api")[0]; len(got.Asked) != more || got.Dropped != 4 {
		t.Errorf("%d questions and %d dropped, want %d and 4", len(got.Asked), got.Dropped, more)
	}
}
