package awsapi

import (
	"errors"
	"strings"
)

// Unread is a look at the dials that did not find all of them: why, by part,
// nil where it did. The parts of the Setting beside it count that were read.
type Unread struct {
	DNS   error // the weights
	Stage error // canary and base
	Live  error // the version behind the alias live
	Next  error // and behind next
}

// Error implements error. Green's three parts mostly fail for one cause: the
// first of them is told.
func (u *Unread) Error() string {
	var texts []string
	if u.DNS != nil {
		texts = append(texts, u.DNS.Error())
	}
	if green := u.Green(); green != nil {
		texts = append(texts, green.Error())
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives the causes.
func (u *Unread) Unwrap() []error {
	var causes []error
	for _, err := range []error{u.DNS, u.Stage, u.Live, u.Next} {
		if err != nil {
			causes = append(causes, err)
		}
	}
	return causes
}

// Green is why a part of green could not be read, nil where all were.
func (u *Unread) Green() error {
	for _, err := range []error{u.Stage, u.Live, u.Next} {
		if err != nil {
			return err
		}
	}
	return nil
}

// UnreadOf is err by part, all nil where err is. Another error is of every part.
func UnreadOf(err error) Unread {
	if err == nil {
		return Unread{}
	}
	if parts, ok := errors.AsType[*Unread](err); ok {
		return *parts
	}
	return Unread{err, err, err, err}
}
