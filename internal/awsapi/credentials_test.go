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
	"github.com/tapctl/tapctl/internal/clock"
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

// TestCredentialsThatAreRenewedEndLater: a CI job has a new token for the role
// before the old credentials end.
func TestCredentialsThatAreRenewedEndLater(t *testing.T) {
	first := (clock.Real{}).Now().Add(time.Hour).Truncate(time.Second)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		end := first.Add(time.Duration(asked) * 10 * time.Minute)
		asked++
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, asked, end.Format(time.RFC3339))
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/ci", "AWS_WEB_IDENTITY_TOKEN_FILE": token,
		"AWS_ENDPOINT_URL_STS": server.URL, "AWS_ENDPOINT_URL": "",
	} {
		t.Setenv(name, value)
	}
	clients, err := awsapi.Load(context.Background(), config.AWS{EndpointURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Time{first, first, first.Add(10 * time.Minute)} {
		if i == 2 {
			clients.PeekNow()
		}
		if got := clients.CredentialsEnd(context.Background()); !got.Equal(want) {
			t.Errorf("question %d: %v, want %v", i+1, got, want)
		}
	}
	if got := clients.CredentialsEnd(context.Background()); got.Before(first.Add(10 * time.Minute)) {
		t.Errorf("the calls do not use those that last longer: %v", got)
	}
}

func TestEndUnknown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		found    aws.Credentials
		variable string
		want     bool
	}{
		{"a user's key", aws.Credentials{Source: "EnvConfigCredentials"}, "", false},
		{"a session", aws.Credentials{Source: "EnvConfigCredentials", SessionToken: "t"}, "", true},
		{"a session that says", aws.Credentials{Source: "EnvConfigCredentials", SessionToken: "t"}, "2026-03-01T13:00:00Z", false},
		{"a session in a file", aws.Credentials{Source: "SharedConfigCredentials: /x", SessionToken: "t"}, "2026-03-01T13:00:00Z", true},
		{"a process", aws.Credentials{Source: "ProcessProvider", SessionToken: "t"}, "", false},
		{"an OIDC token", aws.Credentials{Source: "WebIdentityCredentials", SessionToken: "t", CanExpire: true, Expires: time.Unix(1, 0)}, "", false},
	} {
		if got := awsapi.EndUnknown(tt.found, tt.variable); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
