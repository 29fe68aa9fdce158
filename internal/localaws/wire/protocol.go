package wire

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// MaxBody bounds every request body the endpoint reads, in bytes. A Lambda
// zip is the largest thing sent (AWS: 50 MB, base64 makes it 67).
const MaxBody = 80 << 20

// Operation serves one named operation of a JSON or CBOR protocol: it decodes
// its own input and returns what is to be encoded.
type Operation func(ctx context.Context, decode func(any) error) (any, error)

// Stream is what an Operation of JSONTarget returns that answers by itself, for
// as long as it likes: an event stream.
type Stream func(ctx context.Context, w http.ResponseWriter)

// Op makes an Operation of a typed function. In's json tags (cbor uses them
// too) name the members as the service model does.
func Op[In, Out any](serve func(context.Context, In) (Out, error)) Operation {
	return func(ctx context.Context, decode func(any) error) (any, error) {
		var in In
		if err := decode(&in); err != nil {
			if e, ok := errors.AsType[*Error](err); ok {
				return nil, e // the input's own decoding named it
			}
			return nil, Errorf(http.StatusBadRequest, "SerializationException", "%v", err)
		}
		return serve(ctx, in)
	}
}

// JSONTarget serves the AWS JSON protocols, whose operation is in the
// X-Amz-Target header ("DynamoDB_20120810.GetItem"). version is "1.0" or "1.1".
func JSONTarget(log *slog.Logger, version string, operations map[string]Operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := FromContext(r.Context())
		w.Header().Set("Content-Type", "application/x-amz-json-"+version)
		w.Header().Set("X-Amzn-Requestid", call.RequestID)
		target := r.Header.Get("X-Amz-Target")
		_, name, _ := strings.Cut(target, ".")
		operation, known := operations[name]
		if !known {
			Unknown(log, call, target)
			writeJSONError(w, Errorf(http.StatusBadRequest, "UnknownOperationException", "the embedded AWS has no %q", target))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
		if err != nil {
			writeJSONError(w, Errorf(http.StatusBadRequest, "SerializationException", "%v", err))
			return
		}
		out, err := operation(r.Context(), func(in any) error {
			if len(body) == 0 {
				return nil
			}
			return json.Unmarshal(body, in)
		})
		if err != nil {
			writeJSONError(w, AsError(err))
			return
		}
		if stream, ok := out.(Stream); ok {
			stream(r.Context(), w)
			return
		}
		encodeJSON(w, http.StatusOK, out)
	})
}

func writeJSONError(w http.ResponseWriter, e *Error) {
	body := map[string]any{"__type": e.Code, "message": e.Message, "Message": e.Message}
	for name, value := range e.Fields {
		body[name] = value
	}
	encodeJSON(w, e.Status, body)
}

func encodeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		body = struct{}{}
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	w.Write(encoded) // Non-fatal: the caller has gone.
}

// Query serves the AWS Query protocol: a form with Action, an XML answer. The
// operations return the content of <ActionResult>, encoded by encoding/xml,
// or nil for an empty one.
func Query(log *slog.Logger, namespace string, operations map[string]func(ctx context.Context, form url.Values) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := FromContext(r.Context())
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		if err := r.ParseForm(); err != nil {
			WriteXMLError(w, call, namespace, Errorf(http.StatusBadRequest, "MalformedInput", "%v", err))
			return
		}
		action := r.Form.Get("Action")
		operation, known := operations[action]
		if !known {
			Unknown(log, call, action)
			WriteXMLError(w, call, namespace, Errorf(http.StatusBadRequest, "InvalidAction", "the embedded AWS has no action %s", action))
			return
		}
		result, err := operation(r.Context(), r.Form)
		if err != nil {
			WriteXMLError(w, call, namespace, AsError(err))
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusOK)
		encoder := xml.NewEncoder(w)
		start := xml.StartElement{Name: xml.Name{Local: action + "Response"}, Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}}
		encoder.EncodeToken(start) // Non-fatal: the caller has gone.
		if result != nil {
			encoder.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}}) // as above
		}
		metadata := struct{ RequestId string }{call.RequestID}
		encoder.EncodeElement(metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}) // as above
		encoder.EncodeToken(start.End())                                                             // as above
		encoder.Flush()                                                                              // as above
	})
}

// WriteXMLError answers with <ErrorResponse>, as the Query and REST-XML
// services do. S3 wants a shape of its own and does not use this.
func WriteXMLError(w http.ResponseWriter, call Call, namespace string, e *Error) {
	type inner struct {
		Type, Code, Message string
	}
	kind := "Sender"
	if e.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	body := struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Namespace string   `xml:"xmlns,attr,omitempty"`
		Error     inner
		RequestId string
	}{Namespace: namespace, Error: inner{kind, e.Code, e.Message}, RequestId: call.RequestID}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(e.Status)
	xml.NewEncoder(w).Encode(body) // Non-fatal: the caller has gone.
}

// WriteRESTJSON answers a REST-JSON operation. body nil means an empty body.
func WriteRESTJSON(w http.ResponseWriter, call Call, status int, body any) {
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encodeJSON(w, status, body)
}

// WriteRESTJSONError answers with the error shape of the REST-JSON services:
// the code in X-Amzn-ErrorType, the message in the body.
func WriteRESTJSONError(w http.ResponseWriter, call Call, err error) {
	e := AsError(err)
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	w.Header().Set("X-Amzn-Errortype", e.Code)
	w.Header().Set("Content-Type", "application/json")
	body := map[string]any{"message": e.Message, "Type": "User"}
	for name, value := range e.Fields {
		body[name] = value
	}
	encodeJSON(w, e.Status, body)
}

// CBOR serves Smithy's rpc-v2-cbor protocol, which the SDK uses for
// CloudWatch: POST /service/NAME/operation/OPERATION. Times are CBOR tag 1,
// seconds since the epoch.
func CBOR(log *slog.Logger, operations map[string]Operation) http.Handler {
	encode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	write := func(w http.ResponseWriter, status int, body any) {
		encoded, err := encode.Marshal(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(status)
		w.Write(encoded) // Non-fatal: the caller has gone.
	}
	fail := func(w http.ResponseWriter, e *Error) {
		// The service is query-compatible: older clients read the code here.
		w.Header().Set("X-Amzn-Query-Error", e.Code+";Sender")
		body := map[string]any{"__type": e.Code, "message": e.Message}
		// Fields may name a shape of the model as __type, where that is not
		// the query protocol's code.
		maps.Copy(body, e.Fields)
		write(w, e.Status, body)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := FromContext(r.Context())
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("X-Amzn-Requestid", call.RequestID)
		name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		operation, known := operations[name]
		if !known {
			Unknown(log, call, name)
			fail(w, Errorf(http.StatusBadRequest, "UnknownOperationException", "the embedded AWS has no %q", name))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
		if err != nil {
			fail(w, Errorf(http.StatusBadRequest, "SerializationException", "%v", err))
			return
		}
		out, err := operation(r.Context(), func(in any) error {
			if len(body) == 0 {
				return nil
			}
			return cbor.Unmarshal(body, in)
		})
		if err != nil {
			fail(w, AsError(err))
			return
		}
		if out == nil {
			out = map[string]any{}
		}
		write(w, http.StatusOK, out)
	})
}

// Epoch is a time as the JSON protocols carry it: seconds, with fractions.
type Epoch time.Time

// MarshalJSON implements json.Marshaler.
func (e Epoch) MarshalJSON() ([]byte, error) {
	return json.Marshal(float64(time.Time(e).UnixMilli()) / 1000)
}

// Unknown logs a call the embedded AWS does not implement. Such a call is
// always answered with an error, never with a silent success.
func Unknown(log *slog.Logger, call Call, operation string) {
	log.Warn("not implemented", "service", call.Service, "region", call.Region, "operation", operation, "request_id", call.RequestID)
}

// Protocol is how a service encodes what it says.
type Protocol int

// The protocols of the services that are served.
const (
	JSONProtocol Protocol = iota
	QueryProtocol
	RESTXMLProtocol
	RESTJSONProtocol
	CBORProtocol
)

// Refuse answers a request with an error before it reached its service, in
// the shape that service's clients read.
func Refuse(w http.ResponseWriter, call Call, protocol Protocol, err error) {
	switch protocol {
	case QueryProtocol, RESTXMLProtocol:
		WriteXMLError(w, call, "", AsError(err))
	case RESTJSONProtocol:
		WriteRESTJSONError(w, call, err)
	case CBORProtocol:
		refuseCBOR(w, call, AsError(err))
	case JSONProtocol:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-Requestid", call.RequestID)
		writeJSONError(w, AsError(err))
	default:
		http.Error(w, err.Error(), AsError(err).Status)
	}
}

func refuseCBOR(w http.ResponseWriter, call Call, e *Error) {
	encoded, err := cbor.Marshal(map[string]any{"__type": e.Code, "message": e.Message})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	w.Header().Set("X-Amzn-Query-Error", e.Code+";Sender")
	w.WriteHeader(e.Status)
	w.Write(encoded) // Non-fatal: the caller has gone.
}
