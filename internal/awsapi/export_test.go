package awsapi

import "time"

// SetPatience bounds Read by something that a test can wait for.
func (t *Traffic) SetPatience(d time.Duration) { t.patience = d }

// CredentialsEnd is credentialsEnd.
var CredentialsEnd = credentialsEnd
