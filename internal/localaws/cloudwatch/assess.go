package cloudwatch

import (
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Point is one period of an alarm's evaluation range.
type Point int

// What a period can be.
const (
	Missing Point = iota
	Within
	Breaching
)

// Assess is AWS's rule from points to state. points is the evaluation range,
// oldest first, at least n long; m of the n most recent points must breach.
// What AWS documents about it is in the examples of the test.
func Assess(points []Point, m, n int, treatMissing string, current types.StateValue) types.StateValue {
	var existing []Point // newest first, at most n
	oldestAge := 0
	for age := 1; age <= len(points) && len(existing) < n; age++ {
		if p := points[len(points)-age]; p != Missing {
			existing = append(existing, p)
			oldestAge = age
		}
	}
	breaching := 0
	for _, p := range existing {
		if p == Breaching {
			breaching++
		}
	}
	fill := n - len(existing)
	if fill == 0 {
		return byCount(breaching, m)
	}
	switch treatMissing {
	case "breaching":
		return byCount(breaching+fill, m)
	case "notBreaching":
		return byCount(breaching, m)
	case "ignore":
		if breaching < m && breaching == len(existing) {
			return current
		}
		return byCount(breaching, m)
	default: // "missing"
		switch {
		case len(existing) == 0:
			return types.StateValueInsufficientData
		case breaching == len(existing) && oldestAge >= m:
			// Nothing but breaches, the oldest of them old enough: AWS does
			// not wait for the missing ones.
			return types.StateValueAlarm
		default:
			return byCount(breaching, m)
		}
	}
}

func byCount(breaching, m int) types.StateValue {
	if breaching >= m {
		return types.StateValueAlarm
	}
	return types.StateValueOk
}

// breaches compares a value with a threshold. The operators for anomaly
// detection bands are refused when an alarm is put.
func breaches(value float64, operator types.ComparisonOperator, threshold float64) bool {
	switch operator {
	case types.ComparisonOperatorGreaterThanOrEqualToThreshold:
		return value >= threshold
	case types.ComparisonOperatorGreaterThanThreshold:
		return value > threshold
	case types.ComparisonOperatorLessThanThreshold:
		return value < threshold
	case types.ComparisonOperatorLessThanOrEqualToThreshold:
		return value <= threshold
	default:
		return false
	}
}
