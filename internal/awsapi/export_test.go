package awsapi

import (
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// InvokePatience bounds an invocation's answer beside its context; 0 is no bound.
func (c *Clients) InvokePatience() time.Duration {
	return c.patient.(*awshttp.BuildableClient).GetTransport().ResponseHeaderTimeout
}

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
