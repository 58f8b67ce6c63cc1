// An inventory that teams own: a folder of blobs in a storage account of its own, so that a new item needs no deployment.
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
param inventoryFrom = 'blobs'
