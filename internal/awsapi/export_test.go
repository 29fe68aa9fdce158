package awsapi

import "time"

// SetPatience bounds Read by something that a test can wait for.
func (t *Traffic) SetPatience(d time.Duration) { t.patience = d }

// CredentialsEnd is credentialsEnd.
var CredentialsEnd = credentialsEnd

// SetLines bounds a time of asking, and a page of it.
func (t *Tail) SetLines(most int, page int32) { t.most, t.lines = most, &page }

// SetRoom bounds what is kept for the next Drain.
func (t *Tail) SetRoom(requests int) { t.room = requests }

// EndUnknown is endUnknown.
var EndUnknown = endUnknown

// PeekNow makes the next question for the credentials' end look for others.
func (c *Clients) PeekNow() { c.peek.last = time.Time{} }
