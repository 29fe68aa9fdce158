package awsapi

import "time"

// SetPatience bounds Read by something that a test can wait for.
func (t *Traffic) SetPatience(d time.Duration) { t.patience = d }

// CredentialsEnd is credentialsEnd.
var CredentialsEnd = credentialsEnd

// SetPages bounds a time of asking.
func (t *Tail) SetPages(n int, lines int32) { t.pages, t.lines = n, &lines }
