package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapctl/tapctl/internal/awsapi"
	"github.com/tapctl/tapctl/internal/config"
)

// TestExpiredCredentialsAreLookedForAgain: a CI job renews what a long shift
// started with, and the call under way goes on with it.
func TestExpiredCredentialsAreLookedForAgain(t *testing.T) {
	for _, renews := range []bool{true, false} {
		t.Run(fmt.Sprintf("renews=%v", renews), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "credentials")
			write := func(key string) {
				text := fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=s\naws_session_token=t\n", key)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			write("OLD")
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				if strings.Contains(r.Header.Get("Authorization"), "Credential=NEW/") {
					fmt.Fprint(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
					return
				}
				if renews {
					write("NEW")
				}
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `<ErrorResponse><Error><Code>ExpiredToken</Code><Message>expired</Message></Error></ErrorResponse>`)
			}))
			defer server.Close()
			for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": file} {
				t.Setenv(name, value)
			}
			clients, err := awsapi.Load(context.Background(), config.AWS{EndpointURL: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			account, err := clients.Account(context.Background(), blueRegion)
			if renews && (err != nil || account != "123456789012" || asked != 2) {
				t.Errorf("account %q, %v, after %d calls; want it with the second", account, err, asked)
			}
			trouble, isTrouble := errors.AsType[*awsapi.Trouble](err)
			if !renews && (!isTrouble || trouble.Kind != awsapi.Expired || asked != 1) {
				t.Errorf("%v after %d calls; want it told at once", err, asked)
			}
		})
	}
}

func TestCredentialsEnd(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	tests := []struct {
		name     string
		found    aws.Credentials
		variable string
		want     time.Time
	}{
		{"a key of the environment", aws.Credentials{Source: "EnvConfigCredentials"}, "", time.Time{}},
		{"a session of the environment", aws.Credentials{Source: "EnvConfigCredentials"}, "2026-03-01T13:00:00Z", at},
		{"no time", aws.Credentials{Source: "EnvConfigCredentials"}, "soon", time.Time{}},
		{"an OIDC token", aws.Credentials{Source: "WebIdentityCredentials", CanExpire: true, Expires: at}, "", at},
		{"a role that is assumed again", aws.Credentials{Source: "AssumeRoleProvider", CanExpire: true, Expires: at}, "", time.Time{}},
		{"an instance", aws.Credentials{Source: "EC2RoleProvider", CanExpire: true, Expires: at}, "2026-03-01T13:00:00Z", time.Time{}},
	}
	for _, tt := range tests {
		if got := awsapi.CredentialsEnd(tt.found, tt.variable); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
