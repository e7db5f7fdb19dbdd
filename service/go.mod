module github.com/clusterlite/clusterlite/service

go 1.26
