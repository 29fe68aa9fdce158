package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	sdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/acm"
)

var acmKinds = map[string]kind{
	"aws:acm/certificate:Certificate": entry[certificate]{spec[certificate]{args: sdk.CertificateArgs{}, state: sdk.Certificate{}, create: createCertificate, read: readCertificate, update: updateCertificate,
		remove: func(ctx context.Context, s *session, id string, _ certificate) error {
			// Whoever used it until now may still be letting go.
			return s.retry(ctx, "certificate "+id+" is out of use", func() error {
				_, err := s.acm().DeleteCertificate(ctx, &api.DeleteCertificateInput{CertificateArn: aws.String(id)})
				return err
			}, "ResourceInUseException")
		}}},
	"aws:acm/certificateValidation:CertificateValidation": entry[certificateValidation]{spec[certificateValidation]{args: sdk.CertificateValidationArgs{}, state: sdk.CertificateValidation{},
		create: func(ctx context.Context, s *session, p certificateValidation) (string, error) {
			if err := issued(ctx, s, p.CertificateArn); err != nil {
				return "", err
			}
			return p.CertificateArn, nil
		},
		read: func(ctx context.Context, s *session, id string, p certificateValidation) (*certificateValidation, error) {
			out, err := s.acm().DescribeCertificate(ctx, &api.DescribeCertificateInput{CertificateArn: aws.String(id)})
			if err != nil || out.Certificate.Status != types.CertificateStatusIssued {
				return nil, err
			}
			return &p, nil
		},
		// It is a wait, not a thing.
		remove: func(context.Context, *session, string, certificateValidation) error { return nil }}},
}

type certificate struct {
	DomainName              string             `json:"domainName" aws:"replace" check:"required"`
	SubjectAlternativeNames []string           `json:"subjectAlternativeNames" aws:"replace"`
	ValidationMethod        string             `json:"validationMethod" aws:"replace" check:"required"`
	KeyAlgorithm            string             `json:"keyAlgorithm" aws:"replace"`
	Tags                    map[string]string  `json:"tags"`
	Arn                     string             `json:"arn" aws:"out"`
	Status                  string             `json:"status" aws:"changes"`
	Type                    string             `json:"type" aws:"out"`
	DomainValidationOptions []validationOption `json:"domainValidationOptions" aws:"out"`
}

type validationOption struct {
	DomainName          string `json:"domainName"`
	ResourceRecordName  string `json:"resourceRecordName"`
	ResourceRecordType  string `json:"resourceRecordType"`
	ResourceRecordValue string `json:"resourceRecordValue"`
}

func createCertificate(ctx context.Context, s *session, p certificate) (string, error) {
	if p.ValidationMethod != "DNS" {
		return "", errors.New("the embedded aws provider validates certificates by DNS only")
	}
	in := &api.RequestCertificateInput{DomainName: aws.String(p.DomainName), SubjectAlternativeNames: p.SubjectAlternativeNames, ValidationMethod: types.ValidationMethodDns, KeyAlgorithm: types.KeyAlgorithm(p.KeyAlgorithm)}
	for k, v := range p.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	out, err := s.acm().RequestCertificate(ctx, in)
	if err != nil {
		return "", err
	}
	id := aws.ToString(out.CertificateArn)
	// The records to be made appear some time after the request.
	return id, s.until(ctx, "validation records of "+p.DomainName+" are known", 5*time.Minute, func() (bool, error) {
		described, err := s.acm().DescribeCertificate(ctx, &api.DescribeCertificateInput{CertificateArn: out.CertificateArn})
		if err != nil {
			return false, err
		}
		options := described.Certificate.DomainValidationOptions
		return len(options) > 0 && !slices.ContainsFunc(options, func(o types.DomainValidation) bool { return o.ResourceRecord == nil }), nil
	})
}

func readCertificate(ctx context.Context, s *session, id string, p certificate) (*certificate, error) {
	out, err := s.acm().DescribeCertificate(ctx, &api.DescribeCertificateInput{CertificateArn: aws.String(id)})
	if err != nil {
		return nil, err
	}
	c := out.Certificate
	p.DomainName, p.Arn, p.Status, p.Type = aws.ToString(c.DomainName), id, string(c.Status), string(c.Type)
	if p.KeyAlgorithm != "" {
		p.KeyAlgorithm = string(c.KeyAlgorithm)
	}
	names := slices.DeleteFunc(slices.Clone(c.SubjectAlternativeNames), func(name string) bool {
		return name == p.DomainName && !slices.Contains(p.SubjectAlternativeNames, name)
	})
	p.SubjectAlternativeNames = sameSet(names, p.SubjectAlternativeNames)
	p.DomainValidationOptions = nil
	for _, o := range c.DomainValidationOptions {
		one := validationOption{DomainName: aws.ToString(o.DomainName)}
		if r := o.ResourceRecord; r != nil {
			one.ResourceRecordName, one.ResourceRecordType, one.ResourceRecordValue = aws.ToString(r.Name), string(r.Type), aws.ToString(r.Value)
		}
		p.DomainValidationOptions = append(p.DomainValidationOptions, one)
	}
	tags, err := s.acm().ListTagsForCertificate(ctx, &api.ListTagsForCertificateInput{CertificateArn: aws.String(id)})
	if err != nil {
		return nil, err
	}
	p.Tags = map[string]string{}
	for _, t := range tags.Tags {
		p.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return &p, nil
}

// updateCertificate changes the tags: everything else replaces.
func updateCertificate(ctx context.Context, s *session, id string, old, now certificate) error {
	return retag(old.Tags, now.Tags, func(set map[string]string) error {
		in := &api.AddTagsToCertificateInput{CertificateArn: aws.String(id)}
		for k, v := range set {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		_, err := s.acm().AddTagsToCertificate(ctx, in)
		return err
	}, func(keys []string) error {
		in := &api.RemoveTagsFromCertificateInput{CertificateArn: aws.String(id)}
		for _, k := range keys {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(k)})
		}
		_, err := s.acm().RemoveTagsFromCertificate(ctx, in)
		return err
	})
}

type certificateValidation struct {
	CertificateArn        string   `json:"certificateArn"`
	ValidationRecordFqdns []string `json:"validationRecordFqdns"`
}

func issued(ctx context.Context, s *session, arn string) error {
	return s.until(ctx, "certificate "+arn+" is ISSUED", 75*time.Minute, func() (bool, error) {
		out, err := s.acm().DescribeCertificate(ctx, &api.DescribeCertificateInput{CertificateArn: aws.String(arn)})
		if err != nil {
			return false, err
		}
		switch status := out.Certificate.Status; status {
		case types.CertificateStatusIssued:
			return true, nil
		case types.CertificateStatusPendingValidation:
			return false, nil
		default:
			return false, fmt.Errorf("certificate %s is %s: %s", arn, status, out.Certificate.FailureReason)
		}
	})
}
