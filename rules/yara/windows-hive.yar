// Registry hive: base block with the end of its own path at offset 48, UTF-16. Not yet checked against hives of real machines.
rule windows_secrets_hive
{
    meta:
        id = "windows.secrets-hive"
        name = "Windows registry hive with account secrets"
        kind = "secret"
        severity = "high"
        confidence = "high"
        why = "SAM holds password hashes of local accounts, SECURITY those of services and of domain users who signed in; the SYSTEM hive beside them opens both."
        fix = "Change the passwords of local and service accounts of every machine made from this image."
        reference = "https://learn.microsoft.com/windows-server/security/windows-authentication/credentials-processes-in-windows-authentication"
    strings:
        $magic = "regf"
        $sam = "\\Config\\SAM" wide nocase
        $security = "\\Config\\SECURITY" wide nocase
    condition:
        $magic at 0 and for any of ($sam, $security) : ( @ >= 48 and @ < 112 )
}
