package items

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"github.com/tapctl/tapctl/function/internal/reply"
)

const (
	// MaxBody bounds the body of a request, in bytes.
	MaxBody = 64 << 10

	defaultLimit = 20
	maxLimit     = 100
)

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func validID(id string) bool { return idPattern.MatchString(id) }

func badRequest(message string) error {
	return &reply.Failure{Status: http.StatusBadRequest, Code: "bad_request", Message: message}
}

type page struct {
	limit int32
	after string
}

func parsePage(query map[string]string) (page, error) {
	p := page{limit: defaultLimit}
	if text, given := query["limit"]; given {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return page{}, badRequest("limit must be a number from 1 to " + strconv.Itoa(maxLimit) + ".")
		}
		p.limit = int32(n)
	}
	if text, given := query["next"]; given {
		after, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !validID(string(after)) {
			return page{}, badRequest("next is not a value this API gave out.")
		}
		p.after = string(after)
	}
	return p, nil
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

// parseItem reads the body of a POST. The item's ID is "" when the body has none.
func parseItem(event events.APIGatewayProxyRequest) (Item, error) {
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(event.Body)
		if err != nil {
			return Item{}, badRequest("The body is not valid base64.")
		}
		body = decoded
	}
	if len(body) > MaxBody {
		return Item{}, &reply.Failure{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: "The body is larger than 64 KiB."}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return Item{}, badRequest("The body must be a JSON object.")
	}
	item := Item{Fields: fields}
	if raw, given := fields["id"]; given {
		if err := json.Unmarshal(raw, &item.ID); err != nil || !validID(item.ID) {
			return Item{}, badRequest("id must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit.")
		}
	}
	if _, given := fields["created_at"]; given {
		return Item{}, badRequest("created_at is set by the API.")
	}
	delete(fields, "id")
	return item, nil
}
