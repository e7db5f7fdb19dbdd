module github.com/clusterlite/clusterlite/e2e

go 1.26
