// Storage and vaults without a public address, an app that few addresses reach, an instance that is always ready, redundancy over zones.
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
param networkMode = 'private'
param addressPrefix = '10.20.0.0/24'
param allowedAddresses = '203.0.113.0/24, AzureDevOps'
param alwaysReadyInstances = 1
param storageSku = 'Standard_ZRS'
