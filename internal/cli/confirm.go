package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tapctl/tapctl/internal/app"
)

// confirm asks before what cannot be undone. A job has nobody to ask: there
// --yes says it.
func (c *command) confirm(what, again string) error {
	if c.yes {
		return nil
	}
	if !c.Terminal || c.In == nil {
		return &app.Refused{Cause: fmt.Errorf("%s, and this cannot be undone: --yes is needed where nobody can be asked", what), Next: again + " --yes"}
	}
	fmt.Fprintf(c.Err, "%s. This cannot be undone. Go on? [y/N] ", what)
	answer, err := bufio.NewReader(c.In).ReadString('\n') // the end of the input is a no
	if errors.Is(err, context.Canceled) {
		return &app.Interrupted{Cause: errors.New(what)}
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
		return nil
	}
	return &app.Refused{Cause: fmt.Errorf("%s: not confirmed", what), Next: again}
}
