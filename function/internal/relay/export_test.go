package relay

import "net/http"

// Transport is how the site is reached.
func (s *Site) Transport() *http.Transport { return s.client.Transport.(*http.Transport) }
